/** What a cookie's value is made of; the rest stands between. In Base64 it ends with `=`, which templates escape. */
const PARTS = /[\w+/-]{12,}/g

/** Who sends more is not looked for: a long header and a long page would take long. */
const MAX_PARTS = 64

/**
 * Whether a page may show what a cookie of its own request says, such as a token against forged requests, which is
 * a cookie and in the form.
 *
 * @param header - `Cookie`, as it was sent.
 * @param maxBytes - A body that is longer is not searched.
 * @param body - Called if there is anything to look for.
 * @returns `true` also where there is too much to look for, or to look through.
 */
export function showsCookie(header: string, maxBytes: number, body: () => Buffer): boolean {
  const parts = new Set<string>()
  for (const cookie of header.split(';')) {
    const value = cookie.slice(cookie.indexOf('=') + 1)
    for (const text of value.includes('%') ? [value, decoded(value)] : [value]) {
      for (const part of text.match(PARTS) ?? []) if (isRandom(part)) parts.add(part)
    }
  }
  if (parts.size === 0) return false
  const bytes = body()
  if (parts.size > MAX_PARTS || bytes.length > maxBytes) return true
  for (const part of parts) if (bytes.includes(part)) return true
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
