import * as zlib from 'node:zlib'

type Decode = (body: Buffer, options: { readonly maxOutputLength: number }) => Buffer

/** There since Node 22.15 and 23.8, and not in the types. */
const { zstdDecompressSync } = zlib as unknown as { readonly zstdDecompressSync?: Decode }

const DECODERS: ReadonlyMap<string, Decode | undefined> = new Map<string, Decode | undefined>([
  ['', (body) => body],
  ['identity', (body) => body],
  ['gzip', zlib.gunzipSync],
  ['x-gzip', zlib.gunzipSync],
  ['deflate', zlib.inflateSync],
  ['br', zlib.brotliDecompressSync],
  ['zstd', zstdDecompressSync],
])

/**
 * Decodes a body at once.
 *
 * @param coding - Its `Content-Encoding`; the empty text: none.
 * @returns `undefined`: the coding is unknown or several, the body is not written in it, or the result is longer than
 *   `maxBytes`.
 */
export function decodeBody(coding: string, body: Buffer, maxBytes: number): Buffer | undefined {
  const decode = DECODERS.get(coding.trim().toLowerCase())
  try {
    return decode?.(body, { maxOutputLength: maxBytes })
  } catch {
    return undefined
  }
}
