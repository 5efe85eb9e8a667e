import { promisify } from 'node:util'
import * as zlib from 'node:zlib'
import type { Coding } from './content-coding.js'

type Compress = (body: Buffer, options: object) => Promise<Buffer>

const brotli = promisify(zlib.brotliCompress) as Compress
const gzip = promisify(zlib.gzip) as Compress

/** There since Node 22.15 and 23.8, and not in the types. */
const newer = zlib as unknown as {
  readonly zstdCompress?: (
    body: Buffer,
    options: object,
    callback: (error: Error | null, result: Buffer) => void,
  ) => void
  readonly constants: { readonly ZSTD_c_compressionLevel: number }
}
const zstd: Compress | undefined = newer.zstdCompress && promisify(newer.zstdCompress)

/** Those of the codings that this Node can write, in their order. */
export function availableCodings(wanted: readonly Coding[]): readonly Coding[] {
  return wanted.filter((coding) => coding !== 'zstd' || zstd !== undefined)
}

/**
 * Compresses a body whole, in a thread of zlib's.
 *
 * @returns What the coding's decoder makes the body of.
 * @throws Error: this Node does not have the coding, see {@link availableCodings}.
 * @remarks A page is compressed once and sent often, but a visitor waits for the next page while
 *   the threads are busy. So each level is the one after which more time buys little. Of 60 to
 *   100 kB of HTML or program text, Brotli 5 leaves 4 to 18 % less than gzip 7 in 1.1 to 1.5 times
 *   the time; Brotli 9 saves another 2 % for eight times as much, 11 up to 18 % for sixty times;
 *   gzip 9 up to 4 % for two to three times, zstd 9 about 3 % for 1.5 times.
 */
export async function compressBody(coding: Coding, body: Buffer): Promise<Buffer> {
  switch (coding) {
    case 'br': {
      const { BROTLI_PARAM_QUALITY, BROTLI_PARAM_SIZE_HINT } = zlib.constants
      const params = { [BROTLI_PARAM_QUALITY]: 5, [BROTLI_PARAM_SIZE_HINT]: body.length }
      return brotli(body, { params })
    }
    case 'gzip':
      return gzip(body, { level: 7 })
    case 'zstd': {
      if (zstd === undefined)
        throw new Error('this version of Node has no zstd; it came with 22.15')
      const params = { [newer.constants.ZSTD_c_compressionLevel]: 6 }
      return zstd(body, { params, pledgedSrcSize: body.length })
    }
  }
}
