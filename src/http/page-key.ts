import { hash } from 'node:crypto'
import { MisuseError, show } from '../errors.js'
import { headerText, type HeaderFields } from './header-values.js'

/**
 * The name under which the header fields of a request hold its rewritten target, where a layer in front of the cache
 * has rewritten its URL. It has a space in it, so that no client can send such a header.
 */
export const ROUTED = 'routed url'

/** What makes the keys of a page, besides the values of the headers it varies on. */
export interface PageAddress {
  readonly keyPrefix: string
  /** Absolute, as sent: no decoding, no normalising. */
  readonly uri: string
  readonly language?: string | undefined
  readonly timeZone?: string | undefined
}

/**
 * The key of the list of headers that the pages of a URI vary on.
 *
 * @see Django 6.1, `_generate_cache_header_key`
 */
export function headerListKey(address: PageAddress, uriHash = md5(address.uri)): string {
  const suffix = keySuffix(address)
  return `views.decorators.cache.cache_header.${address.keyPrefix}.${uriHash}${suffix}`
}

/**
 * The key of the generation of a URI's pages, whatever their language or time zone. It has no
 * counterpart in Django.
 */
export function generationKey({ keyPrefix, uri }: PageAddress, uriHash = md5(uri)): string {
  return `fragcache.page_generation.${keyPrefix}.${uriHash}`
}

/** What the key of every page begins with. */
const PAGES = 'views.decorators.cache.cache_page.'

/** The key of the list of a URI's variants in one language and time zone; none in Django. */
export function variantsKey(address: PageAddress, uriHash = md5(address.uri)): string {
  return `fragcache.page_variants.${address.keyPrefix}.${uriHash}${keySuffix(address)}`
}

/**
 * The key of a page.
 *
 * @param headerList - Names in lower case, in Django's order.
 * @see Django 6.1, `_generate_cache_key`
 */
export function pageKey(
  address: PageAddress,
  method: string,
  headerList: readonly string[],
  headers: HeaderFields,
  uriHash = md5(address.uri),
): string {
  return variantKey(address, method, variantHash(headerList, headers), uriHash)
}

/** As {@link pageKey}, of a variant whose hash is known. */
export function variantKey(
  address: PageAddress,
  method: string,
  variant: string,
  uriHash = md5(address.uri),
): string {
  const suffix = keySuffix(address)
  return `${PAGES}${address.keyPrefix}.${method}.${uriHash}.${variant}${suffix}`
}

/** The key prefix in the key of a page; `undefined`: it is of another URI. */
export function prefixOfPageKey(key: string, uri: string): string | undefined {
  const end = key.indexOf(`.GET.${md5(uri)}.`)
  return key.startsWith(PAGES) && end >= PAGES.length ? key.slice(PAGES.length, end) : undefined
}

/** What tells the variants of a URI apart: the values of the listed headers. */
export function variantHash(headerList: readonly string[], headers: HeaderFields): string {
  return headerList.length === 0 ? MD5_OF_NOTHING : md5(netstrings(headerList, headers))
}

/** Lengths are marked and an absent header is no empty one, so that no two requests run together. */
function netstrings(headerList: readonly string[], headers: HeaderFields): string {
  let text = ''
  for (const name of headerList) {
    const value = headerText(headers, name)
    text += value === undefined ? '-,' : `${Buffer.byteLength(value)}:${value},`
  }
  return text
}

function keySuffix({ language, timeZone }: PageAddress): string {
  if (language === undefined && timeZone === undefined) return ''
  return `${language === undefined ? '' : `.${language}`}${timeZone === undefined ? '' : `.${timeZone}`}`
}

/** For keys only: a page that is found is compared with its request again. */
export function md5(text: string): string {
  return hash('md5', text)
}

const MD5_OF_NOTHING = md5('')

/** Whether a language or time zone can be part of a key without being taken for another part. */
export function isKeyPart(text: unknown): text is string {
  return typeof text === 'string' && /^[A-Za-z0-9_@+\-/:]{1,64}$/.test(text)
}

/** No name in the DNS is longer. @see RFC 3986 §3.2.2 */
const HOST = /^(?:[a-z0-9._-]{1,255}|\[[a-f0-9:.]{1,255}\])(?::[0-9]{1,5})?$/i

/**
 * The absolute URI of a request as sent.
 *
 * @param target - The request target; only the origin form (`/path?query`) is taken.
 * @returns `undefined` if a part could be read as another part: a host such as `a.test/x?` would put
 *   one page under another's key; so too for a host of more than 255 characters.
 * @see Django, `host_validation_re`
 */
export function absoluteUri(
  protocol: string,
  host: string | undefined,
  target: string,
): string | undefined {
  if (protocol !== 'http' && protocol !== 'https') return undefined
  if (host === undefined || !HOST.test(host) || target[0] !== '/') return undefined
  return `${protocol}://${host}${target}`
}

/** The URI by which pages are keyed, of a URL as people write it. @throws TypeError: not an absolute http or https URL. */
export function toAbsoluteUri(url: unknown): string {
  const text = url instanceof URL ? url.href : url
  if (typeof text === 'string') {
    const parts = /^(https?):\/\/([^/?#]*)([^#]*)/i.exec(text)
    const [, protocol = '', host, target = ''] = parts ?? []
    const path = target.startsWith('/') ? target : `/${target}`
    const uri = absoluteUri(protocol.toLowerCase(), host, path)
    if (uri !== undefined) return uri
  }
  throw new MisuseError(
    `invalidate: ${show(text)} is not an absolute URL; give one such as https://example.com/news`,
  )
}
