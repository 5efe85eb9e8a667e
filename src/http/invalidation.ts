import { headerText, type HeaderFields } from './header-values.js'

const SAFE: ReadonlySet<string> = new Set([
  'GET',
  'HEAD',
  'OPTIONS',
  'PRI',
  'PROPFIND',
  'QUERY',
  'REPORT',
  'SEARCH',
  'TRACE',
])

/**
 * Whether a method changes nothing; one that is not registered may change anything.
 *
 * @see RFC 9110 §9.2.1; IANA's HTTP Method Registry
 */
export function isSafe(method: string): boolean {
  return SAFE.has(method)
}

/**
 * The URIs whose pages a successful unsafe request invalidates: its own, and those that `Location` and
 * `Content-Location` of the response name, if they have the same origin.
 *
 * @param uri - Absolute, as sent.
 * @param headers - Of the response.
 * @remarks A response must not invalidate pages of another origin.
 * @see RFC 9111 §4.4
 */
export function invalidatedUris(uri: string, headers: HeaderFields): readonly string[] {
  const uris = new Set([uri])
  for (const name of ['location', 'content-location']) {
    const target = headerText(headers, name)
    if (target === undefined) continue
    const named = resolve(uri, target)
    if (named !== undefined) uris.add(named)
  }
  return [...uris]
}

/** @returns `undefined` if it is of another origin, or no URI. */
function resolve(uri: string, target: string): string | undefined {
  const [reference = ''] = target.split('#')
  const origin = /^https?:\/\/[^/?#]+/.exec(uri)?.[0]
  if (origin === undefined) return undefined
  // As it will be sent: two spellings are two pages.
  if (reference.startsWith('/') && !reference.startsWith('//')) return origin + reference
  if (reference.startsWith(`${origin}/`)) return reference
  try {
    const absolute = new URL(reference, uri)
    return absolute.origin === new URL(uri).origin
      ? origin + absolute.pathname + absolute.search
      : undefined
  } catch {
    return undefined
  }
}
