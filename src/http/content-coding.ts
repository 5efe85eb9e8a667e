import { trimWhitespace } from './header-values.js'
import { readList } from './lists.js'

/** A content coding that a stored response can be kept in. */
export type Coding = 'br' | 'gzip' | 'zstd'

const ELEMENT = /^([^;\s]+)(?:[ \t]*;[ \t]*q=(0(?:\.\d{0,3})?|1(?:\.0{0,3})?))?$/i

/**
 * Which coding to answer a request with.
 *
 * @param acceptEncoding - The request's `Accept-Encoding`.
 * @param available - The one wanted most comes first: it decides where the client does not care.
 * @returns `undefined`: as it is. So too if the header is absent, malformed, or has more than 8192
 *   characters or 100 codings, since a client that can decode says so, and if it excludes everything
 *   there is: a page it cannot read is no worse than none.
 * @see RFC 9110 §12.5.3, §12.4.2 (weights), §8.4.1.3 (`x-gzip`)
 */
export function chooseCoding(
  acceptEncoding: string | undefined,
  available: readonly Coding[],
): Coding | undefined {
  if (acceptEncoding === undefined || available.length === 0) return undefined
  const weights = parseWeights(acceptEncoding)
  if (weights === undefined) return undefined
  const anyOther = weights.get('*')
  // Plain is acceptable unless excluded, and preferred only where it is named.
  let best: Coding | undefined
  let bestWeight = weights.get('identity') ?? anyOther ?? 0
  for (const coding of available) {
    const weight = weights.get(coding) ?? anyOther ?? 0
    // Compressed is better than plain if the client likes both as much.
    if (weight === 0 || weight < bestWeight) continue
    if (weight === bestWeight && best !== undefined) continue
    best = coding
    bestWeight = weight
  }
  return best
}

/** Weights by coding in lower case; `undefined` if an element cannot be read. */
function parseWeights(text: string): ReadonlyMap<string, number> | undefined {
  const elements = readList(text)
  if (elements === undefined) return undefined
  const weights = new Map<string, number>()
  for (const element of elements) {
    const match = ELEMENT.exec(element)
    if (match === null) return undefined
    const [, name = '', q = '1'] = match
    const lower = name.toLowerCase()
    const coding = lower === 'x-gzip' ? 'gzip' : lower
    // Named twice, the smaller counts: it may have been excluded.
    weights.set(coding, Math.min(Number(q), weights.get(coding) ?? 1))
  }
  return weights
}

const COMPRESSIBLE = new Set([
  'application/ecmascript',
  'application/graphql',
  'application/javascript',
  'application/json',
  'application/json5',
  'application/jsonl',
  'application/postscript',
  'application/rtf',
  'application/sql',
  'application/toml',
  'application/vnd.ms-fontobject',
  'application/vnd.ms-opentype',
  'application/wasm',
  'application/x-javascript',
  'application/x-ndjson',
  'application/x-ns-proxy-autoconfig',
  'application/x-sh',
  'application/x-www-form-urlencoded',
  'application/xml',
  'application/xml-dtd',
  'application/yaml',
  'font/collection',
  'font/otf',
  'font/ttf',
  'image/bmp',
  'image/vnd.microsoft.icon',
  'image/x-icon',
  'image/x-ms-bmp',
  'model/gltf-binary',
])

/**
 * Whether a body of this type gets smaller by compressing: text and what is written like it, some
 * fonts and plain bitmaps. What is compressed already, such as pictures, sound, archives and WOFF
 * fonts, does not; nor does what is unknown.
 *
 * @param contentType - Parameters do not matter. `undefined`: unknown.
 */
export function isCompressible(contentType: string | undefined): boolean {
  const [type = ''] = (contentType ?? '').split(';', 1)
  const essence = trimWhitespace(type).toLowerCase()
  return (
    COMPRESSIBLE.has(essence) ||
    /^text\/[^/]+$/.test(essence) ||
    // What a type is built upon. @see RFC 6839
    /^[^/]+\/[^/]+\+(?:json|json-seq|text|xml|yaml)$/.test(essence)
  )
}
