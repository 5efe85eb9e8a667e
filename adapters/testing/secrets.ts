/** What is called so is for one visitor, or one response. */
const NAMED = /csrf|xsrf|nonce|token/i

/** An element's beginning. Attributes are not longer in tests. */
const ELEMENT = /<[a-z][^<>]{0,4000}>/gi

/** A name and its value, as in JSON and in scripts. */
const PAIR =
  /[\w-]{0,60}(?:csrf|xsrf|nonce|token)[\w-]{0,60}["']?\s{0,9}[:=]\s{0,9}["']([^"'<>\s]+)["']/gi

const ATTRIBUTE = /=\s{0,9}["']([^"'<>\s]+)["']/g

/** Shorter ones are chosen twice by chance. */
const MIN_LENGTH = 8

/** The tokens in a page: CSRF tokens in forms, `meta` elements and JSON, nonces of scripts. */
export function secretsIn(text: string): ReadonlySet<string> {
  const elements = [...text.matchAll(ELEMENT)].map(([element]) => element)
  const values = [
    ...elements.filter((one) => NAMED.test(one)).flatMap((one) => [...one.matchAll(ATTRIBUTE)]),
    ...text.matchAll(PAIR),
  ]
  return new Set(values.map(([, value = '']) => value).filter(({ length }) => length >= MIN_LENGTH))
}

/** Shorter ones, and those without letters or digits, are no ids: words, numbers and times may be the same by chance. */
const MIN_ID_LENGTH = 16

/** Those of the cookies that a response sets, by name and value, that hold an id, such as that of a session. */
export function idsIn(cookies: readonly string[]): readonly string[] {
  return cookies.filter((cookie) => {
    const value = cookie.slice(cookie.indexOf('=') + 1)
    const isDate = /\d{4}-\d\d-\d\d|\d\d(?::|%3A)\d\d/i.test(value)
    return value.length >= MIN_ID_LENGTH && /\d/.test(value) && /[a-z]/i.test(value) && !isDate
  })
}
