import { randomBytes } from 'node:crypto'
import { mkdtemp, readdir, rm, stat } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { deflateSync } from 'node:zlib'
import { describe, expect, it } from 'vitest'
import { FileBasedCache } from '../../src/backends/file.js'
import {
  compressSync,
  DEFLATE,
  hasMethod,
  methodFor,
  ZSTD,
  type Method,
} from '../../src/compression.js'
import { PayloadFormat, type CompressSettings } from '../../src/payload-format.js'
import { pack } from '../../src/serializer.js'

const hasZstd = hasMethod(ZSTD)
const [major = 0, minor = 0] = process.versions.node.split('.').map(Number)

const format = (compress?: CompressSettings, isAtOnce = false) =>
  new PayloadFormat('TestCache', compress === undefined ? {} : { compress }, undefined, isAtOnce)
const LARGE = 'a page that is larger than most '.repeat(10_000)

const wrapped = (method: number, length: number, body: Uint8Array) => {
  const head = Buffer.from([7, method, 0, 0, 0, 0])
  head.writeUInt32LE(length, 2)
  return Buffer.concat([head, body])
}

/** Written by Node 22: `pack` of a text of 1000 characters, and of one of 100 000. */
const SMALL_ZSTD = wrapped(
  2,
  1001,
  Buffer.from('KLUv/WDpAu0AAJgBdGhlIHNhbWUgYWdhaW4gYW5kAgDMeVawWQkD', 'base64'),
)
const LARGE_ZSTD = wrapped(2, 100_001, Buffer.from('KLUv/aChhgEAVQAAEAF4AQCchjnAAg==', 'base64'))

/** As a cache reads. */
async function read(reader: PayloadFormat, payload: Uint8Array): Promise<unknown> {
  await reader.inflateLarge([payload], 0, 1)
  return reader.unpack(payload).value
}

describe('which way', () => {
  it('is zstd from 16 KiB on, where Node has it', () => {
    expect(hasZstd).toBe(
      major > 23 || (major === 23 && minor >= 8) || (major === 22 && minor >= 15),
    )
    expect(methodFor(16 * 1024 - 1)).toBe(DEFLATE)
    expect(methodFor(16 * 1024)).toBe(hasZstd ? ZSTD : DEFLATE)
  })

  it('may be asked for', async () => {
    const payload = (await format({ threshold: 10, method: 'deflate' }).compress(
      pack(LARGE),
    )) as Uint8Array
    expect(payload[1]).toBe(DEFLATE)
    expect(() => format({ threshold: 10, method: 'gzip' as 'zstd' })).toThrow(
      /compress\.method: "gzip" is not a method/,
    )
    const zstd = () => format({ threshold: 10, method: 'zstd' })
    if (!hasZstd) expect(zstd).toThrow(/no zstd, which came with 22\.15/)
    else expect((zstd().compress(pack('x'.repeat(100))) as Uint8Array)[1]).toBe(ZSTD)
  })
})

describe('large values', () => {
  it('are compressed and inflated in another thread, tags and all', async () => {
    const tags = new Map([['t:a', 'v1']])
    const compressing = format({ threshold: 1000 })
    const compressed = compressing.compress(compressing.pack(LARGE, tags))
    expect(compressed).toBeInstanceOf(Promise)
    const payload = (await compressed) as Uint8Array
    expect(payload.length).toBeLessThan(5000)
    const waited = compressing.inflateLarge([undefined, payload], 0, 2)
    expect(waited).toBeInstanceOf(Promise)
    await waited
    expect(compressing.unpack(payload)).toEqual({ value: LARGE, tags })
    // Whoever reads the same bytes again does not wait once more.
    expect(compressing.inflateLarge([payload], 0, 1)).toBe(undefined)
  })

  it('are compressed at once where the store answers at once', () => {
    const compressing = format({ threshold: 1000 }, true)
    const payload = compressing.compress(compressing.pack(LARGE)) as Uint8Array
    expect(payload.length).toBeLessThan(5000)
    expect(compressing.inflateLarge([payload], 0, 1)).toBe(undefined)
    expect(compressing.unpack(payload).value).toBe(LARGE)
  })

  it('that do not get smaller stay as they are', async () => {
    const payload = pack(randomBytes(100_000))
    expect(await format({ threshold: 10 }).compress(payload)).toBe(payload)
  })

  it('that are compressed stay as they are', async () => {
    const compressing = format({ threshold: 10 })
    const payload = await compressing.compress(compressing.pack(LARGE))
    expect(await compressing.compress(payload)).toBe(payload)
  })
})

describe('what others wrote', () => {
  it('by deflate is read by every Node', async () => {
    expect(await read(format(), wrapped(1, pack('x').length, deflateSync(pack('x'))))).toBe('x')
    const large = wrapped(1, pack(LARGE).length, deflateSync(pack(LARGE)))
    expect(await read(format(), large)).toBe(LARGE)
  })

  it.each([
    ['small', SMALL_ZSTD, 'the same again and again '.repeat(40)],
    ['large', LARGE_ZSTD, 'x'.repeat(100_000)],
  ])('by zstd is read or refused in clear words: %s', async (_, payload, value) => {
    if (hasZstd) expect(await read(format(), payload)).toBe(value)
    else await expect(read(format(), payload)).rejects.toThrow(/zstd.*Node 22\.15 and later can/)
  })

  it.runIf(hasZstd)('and is cut off is damage', async () => {
    const bytes = pack(LARGE)
    const body = compressSync(ZSTD, bytes)
    for (const cut of [1, 9, body.length - 4]) {
      const payload = wrapped(2, bytes.length, body.subarray(0, body.length - cut))
      await expect(read(format(), payload)).rejects.toThrow()
    }
  })

  it.each<Method>(hasZstd ? [DEFLATE, ZSTD] : [DEFLATE])(
    'is not a bomb: method %i',
    async (method) => {
      const bomb = compressSync(method, Buffer.alloc(20_000_000))
      for (const says of [1000, 100_000, 2 ** 31, 0]) {
        await expect(read(format(), wrapped(method, says, bomb))).rejects.toThrow(
          /larger|inflate to more/i,
        )
      }
      expect(await read(format(), wrapped(method, 2, compressSync(method, pack('x'))))).toBe('x')
    },
  )

  it('takes a bounded memory, whatever one call reads', async () => {
    const reader = format()
    const largest = () => wrapped(1, 64 * 1024 * 1024, Buffer.alloc(100))
    const payloads = [largest(), largest(), largest()]
    await reader.inflateLarge(payloads, 0, 3)
    const [first, second, third] = payloads as [Buffer, Buffer, Buffer]
    for (const one of [first, second])
      expect(() => reader.unpack(one)).toThrow(/unknown compression method/)
    expect(() => reader.unpack(third)).toThrow('read fewer of them at once')
    // The room is free again.
    await new Promise((resolve) => setImmediate(resolve))
    const again = largest()
    await reader.inflateLarge([again], 0, 1)
    expect(() => reader.unpack(again)).toThrow(/unknown compression method/)
  })
})

describe('FileBasedCache', () => {
  it('keeps smaller files, and reads them whatever the settings say', async () => {
    const location = await mkdtemp(join(tmpdir(), 'fragcache-compress-'))
    const cache = new FileBasedCache({ location, compress: { threshold: 1024 } })
    const plain = new FileBasedCache({ location })
    try {
      await cache.set('large', LARGE, { tags: ['a'] })
      await cache.set('number', 7)
      await cache.incr('number')
      const sizes = await Promise.all(
        (await readdir(location, { recursive: true, withFileTypes: true }))
          .filter((one) => one.isFile())
          .map(async ({ parentPath, name }) => (await stat(join(parentPath, name))).size),
      )
      expect(Math.max(...sizes)).toBeLessThan(5000)
      for (const one of [cache, plain]) {
        expect(await one.get('large')).toBe(LARGE)
        expect(await one.get('number')).toBe(8)
      }
      expect(await cache.expire('large')).toBe(true)
      expect(await plain.get('large')).toBe(undefined)
      await cache.set('large', LARGE, { tags: ['a'] })
      await plain.invalidateTags(['a'])
      expect(await cache.get('large')).toBe(undefined)
      const made = await Promise.all([1, 2].map(() => cache.getOrSet('made', () => LARGE)))
      expect(made).toEqual([LARGE, LARGE])
      expect(await plain.add('made', 'other')).toBe(false)
      expect(await plain.getMany(['made'])).toEqual(new Map([['made', LARGE]]))
    } finally {
      await Promise.all([cache.close(), plain.close()])
      await rm(location, { recursive: true, force: true })
    }
  })
})
