/** So many in a row are in a page by chance in no text, and in each token. */
const TOKEN = /[\w-]{16,}/g

/** Who sends more is not looked for: a long header and a long page would take long. */
const MAX_TOKENS = 64

/**
 * Whether a page may show what a cookie of its own request says, such as a token against forged requests, which is
 * a cookie and in the form.
 *
 * @param header - `Cookie`, as it was sent.
 * @returns `true` also for more cookies than are looked for.
 */
export function showsCookie(body: Buffer, header: string): boolean {
  const tokens = new Set(header.match(TOKEN))
  if (header.includes('%'))
    for (const token of decoded(header).match(TOKEN) ?? []) tokens.add(token)
  if (tokens.size > MAX_TOKENS) return true
  for (const token of tokens) if (body.includes(token)) return true
  return false
}

/** As most parsers do, what is not encoded stays as it is. */
function decoded(header: string): string {
  return header.replace(/(?:%[\da-f]{2})+/gi, (encoded) => {
    try {
      return decodeURIComponent(encoded)
    } catch {
      return encoded
    }
  })
}
