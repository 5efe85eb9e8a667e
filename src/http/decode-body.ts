import * as zlib from 'node:zlib'

type Decode = (body: Buffer, options: { readonly maxOutputLength: number }) => Buffer

/** There since Node 22.15 and 23.8, and not in the types. */
const { zstdDecompressSync } = zlib as unknown as { readonly zstdDecompressSync?: Decode }

const DECODERS: Readonly<Record<string, Decode | undefined>> = {
  identity: (body) => body,
  gzip: zlib.gunzipSync,
  'x-gzip': zlib.gunzipSync,
  deflate: zlib.inflateSync,
  br: zlib.brotliDecompressSync,
  zstd: zstdDecompressSync,
}

/** Whether this Node can decode bodies with this `Content-Encoding`. */
export function canDecode(coding: string): boolean {
  return Object.hasOwn(DECODERS, nameOf(coding)) && DECODERS[nameOf(coding)] !== undefined
}

/**
 * Decodes a body at once.
 *
 * @param coding - Its `Content-Encoding`; the empty text: none.
 * @returns `undefined`: the coding is unknown or several, the body is not written in it, or the result is longer than
 *   `maxBytes`.
 */
export function decodeBody(coding: string, body: Buffer, maxBytes: number): Buffer | undefined {
  if (!canDecode(coding)) return undefined
  try {
    return DECODERS[nameOf(coding)]?.(body, { maxOutputLength: maxBytes })
  } catch {
    return undefined
  }
}

function nameOf(coding: string): string {
  const name = coding.trim().toLowerCase()
  return name === '' ? 'identity' : name
}
