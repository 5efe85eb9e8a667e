import { promisify } from 'node:util'
import * as zlib from 'node:zlib'

/** How bytes are compressed. The numbers are part of what is stored. */
export type Method = typeof DEFLATE | typeof ZSTD

/** The format of zlib, which every Node reads. */
export const DEFLATE = 1

/** Zstandard, which Node has since 22.15 and 23.8. */
export const ZSTD = 2

/** Bytes from which work is left to the threads of zlib. What they take is not worth it for fewer. */
export const MIN_BYTES_ASIDE = 64 * 1024

/** A few hundred bytes can inflate to gigabytes. What is larger than this is never compressed. */
export const MAX_INFLATED_BYTES = 64 * 1024 * 1024

/** Smaller values are inflated whenever they are asked for: it takes very many to make much of them. */
const LARGE_BYTES = 1024 * 1024

/** What large values may come to that are being inflated, or were in this turn of the event loop. */
const MAX_INFLATED_AT_ONCE = 2 * MAX_INFLATED_BYTES

/** Bytes from which zstd takes no more time than deflate; for fewer, setting it up takes more. */
const MIN_ZSTD_BYTES = 16 * 1024

/** Larger pieces mean fewer turns of the event loop, of which each is short all the same. */
const MAX_CHUNK_BYTES = 1024 * 1024

type Sync = (bytes: Uint8Array, options: object) => Buffer
type Aside = (bytes: Uint8Array, options: object) => Promise<Buffer>
type Callback = (
  bytes: Uint8Array,
  options: object,
  callback: (error: Error | null, result: Buffer) => void,
) => void

interface Coder {
  readonly compressSync: Sync
  readonly compress: Aside
  readonly inflateSync: Sync
  readonly inflate: Aside
  readonly writing: object
  readonly reading: object
}

/*
 * Of 100 kB of HTML or JSON, level 1 of deflate leaves 26 and 33 % in 0.7 ms and level 6 22 and 28 % in
 * 2.7 ms; level 2 of zstd leaves 25 and 31 % in 0.4 ms, and is read more quickly than either. Level 3 leaves
 * 23 and 29 %, but of 16 KiB it takes as long as deflate; the levels above leave no less.
 */
const deflate: Coder = {
  compressSync: zlib.deflateSync,
  compress: promisify(zlib.deflate as Callback),
  inflateSync: zlib.inflateSync,
  inflate: promisify(zlib.inflate as Callback),
  writing: { level: zlib.constants.Z_BEST_SPEED },
  reading: {},
}

const zstd = zstdOf(zlib)

/** @returns `undefined`: this Node has none. It is not in the types. */
function zstdOf(module: object): Coder | undefined {
  const newer = module as {
    readonly zstdCompressSync?: Sync
    readonly zstdCompress: Callback
    readonly zstdDecompressSync: Sync
    readonly zstdDecompress: Callback
    readonly constants: {
      readonly ZSTD_c_compressionLevel: number
      readonly ZSTD_d_windowLogMax: number
    }
  }
  if (newer.zstdCompressSync === undefined) return undefined
  const { ZSTD_c_compressionLevel, ZSTD_d_windowLogMax } = newer.constants
  return {
    compressSync: newer.zstdCompressSync,
    compress: promisify(newer.zstdCompress),
    inflateSync: newer.zstdDecompressSync,
    inflate: promisify(newer.zstdDecompress),
    writing: { params: { [ZSTD_c_compressionLevel]: 2 } },
    // 8 MiB, more than this level writes: the bytes say how much memory is taken for them.
    reading: { params: { [ZSTD_d_windowLogMax]: 23 } },
  }
}

/** Whether this Node can write and read it. */
export function hasMethod(method: Method): boolean {
  return method === DEFLATE || zstd !== undefined
}

/** The best way for so many bytes. */
export function methodFor(length: number): Method {
  return zstd !== undefined && length >= MIN_ZSTD_BYTES ? ZSTD : DEFLATE
}

/** Compresses while everything else waits. */
export function compressSync(method: Method, bytes: Uint8Array): Buffer {
  const { compressSync: run, writing } = coderOf(method)
  return run(bytes, writing)
}

/** Compresses in a thread of zlib's. The bytes must not change meanwhile. */
export async function compress(method: Method, bytes: Uint8Array): Promise<Buffer> {
  const { compress: run, writing } = coderOf(method)
  return run(bytes, { ...writing, chunkSize: Math.min(bytes.length, MAX_CHUNK_BYTES) })
}

/**
 * Inflates while everything else waits.
 *
 * @param length - What it must come to; it stops at more.
 * @throws Error: it is damaged, too much, or this Node cannot read it.
 */
export function inflateSync(method: Method, bytes: Uint8Array, length: number): Buffer {
  const { inflateSync: run, reading } = coderOf(method)
  const release = reserve(length)
  try {
    return run(bytes, { ...reading, maxOutputLength: length })
  } finally {
    release()
  }
}

/** As {@link inflateSync}, in a thread of zlib's. */
export async function inflate(method: Method, bytes: Uint8Array, length: number): Promise<Buffer> {
  const { inflate: run, reading } = coderOf(method)
  const release = reserve(length)
  try {
    const chunkSize = Math.min(length, MAX_CHUNK_BYTES)
    return await run(bytes, { ...reading, maxOutputLength: length, chunkSize })
  } finally {
    release()
  }
}

function coderOf(method: Method): Coder {
  if (method === DEFLATE) return deflate
  if (zstd !== undefined) return zstd
  throw new Error(
    `payload: it is compressed with zstd, which this Node (${process.version}) cannot read; Node 22.15 and later can`,
  )
}

let inflatedAtOnce = 0

/**
 * Kilobytes from the store can become hundreds of megabytes here, which the callers then all hold. So
 * there is a bound to what is inflated at a time, and in one turn of the event loop, in all caches
 * together.
 *
 * @returns Called once it is done.
 */
function reserve(length: number): () => void {
  if (length === 0 || length > MAX_INFLATED_BYTES) {
    throw new Error('payload: it says to inflate to more than anything that is stored')
  }
  if (length < LARGE_BYTES) return () => undefined
  if (inflatedAtOnce + length > MAX_INFLATED_AT_ONCE) {
    throw new Error(
      `payload: with others that are read at the same time it inflates to more than ${MAX_INFLATED_AT_ONCE} bytes; read fewer of them at once`,
    )
  }
  inflatedAtOnce += length
  return () => {
    setImmediate(() => {
      inflatedAtOnce -= length
    })
  }
}
