/** What a cookie's value is made of; the rest stands between. In Base64 it ends with `=`, which templates escape. */
const PARTS = /[\w+/-]{12,}/g

/** Who sends more is not looked for: a long header and a long page would take long. */
const MAX_PARTS = 64

/** What a request's cookies say that no word does, such as a token against forged requests. @param header - `Cookie`. */
export function tokensIn(header: string): ReadonlySet<string> {
  const parts = new Set<string>()
  for (const cookie of header.split(';')) {
    const value = cookie.slice(cookie.indexOf('=') + 1)
    for (const text of value.includes('%') ? [value, decoded(value)] : [value]) {
      for (const part of text.match(PARTS) ?? []) if (isRandom(part)) parts.add(part)
    }
  }
  return parts
}

/**
 * Whether a page may show one of the tokens, which is a cookie and in the form.
 *
 * @param page - Without its content coding; `undefined`: it cannot be read.
 * @returns `true` also where there are too many to look for.
 */
export function showsToken(tokens: ReadonlySet<string>, page: Buffer | undefined): boolean {
  if (page === undefined || tokens.size > MAX_PARTS) return true
  for (const token of tokens) if (page.includes(token)) return true
  return false
}

/** Words, as pages show them too, have no digits and letters of one case. */
function isRandom(part: string): boolean {
  return /\d/.test(part) || (/[a-z]/.test(part) && /[A-Z]/.test(part))
}

/** As parsers do, which leave a value as it is where any of it cannot be decoded. */
function decoded(value: string): string {
  try {
    return decodeURIComponent(value)
  } catch {
    return value
  }
}
