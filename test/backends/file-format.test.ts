import { mkdir, readFile, stat, truncate, writeFile } from 'node:fs/promises'
import { dirname } from 'node:path'
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest'
import { decodeEntry, encodeEntry } from '../../src/backends/file/format.js'
import { entryPath, openFileCache } from '../support/file-location.js'
import { folderOfTest } from '../support/folders.js'
import { coreOf } from '../../src/backend/core.js'

let location: string
let warnings: string[]

beforeEach(async () => {
  location = folderOfTest()
  warnings = []
  vi.spyOn(process, 'emitWarning').mockImplementation((warning: string | Error) => {
    warnings.push(String(warning))
  })
})
afterEach(() => {
  vi.useRealTimers()
  vi.restoreAllMocks()
})

const exists = (path: string) =>
  stat(path).then(
    () => true,
    () => false,
  )

/*
 * Put together by hand from the table in docs/backends/file.md; the checksum by
 * python3 -c 'import zlib; b = bytes.fromhex(...); print(hex(zlib.crc32(b[:32] + b[36:])))'
 */
const GOLDEN = [
  '8946524147 0d0a1a', // magic
  '0001 0000', // format version, zero
  '00000004 0000000c 00000006', // lengths of key prefix, stored key, payload
  '4278cbd2b9800000', // 1703980800000 as a double: 2023-12-31T00:00:00Z
  'a3e3331d', // checksum
  '73686f70', // shop
  '73686f703a323a6bc3a97921', // shop:2:kéy!
  '01 76616c7565', // the text "value"
]

describe('the format of an entry', () => {
  const bytes = Buffer.from(GOLDEN.join('').replaceAll(' ', ''), 'hex')

  it('is read as it was first written down', async () => {
    vi.useFakeTimers({ toFake: ['Date'], now: 1_703_980_799_999 })
    const place = entryPath(location, 'shop:2:kéy!')
    await mkdir(dirname(place), { recursive: true })
    await writeFile(place, bytes)
    const cache = openFileCache({ location, keyPrefix: 'shop', version: 2 })
    expect(await cache.get('kéy!')).toBe('value')
    vi.setSystemTime(1_703_980_800_000)
    expect(await cache.get('kéy!')).toBeUndefined()
  })

  it('is written as it was first written down', async () => {
    vi.useFakeTimers({ toFake: ['Date'], now: 1_703_980_740_000 })
    const cache = openFileCache({ location, keyPrefix: 'shop', version: 2 })
    await cache.set('kéy!', 'value', { timeout: 60 })
    const written = await readFile(entryPath(location, 'shop:2:kéy!'))
    expect(written.toString('hex')).toBe(bytes.toString('hex'))
  })

  it('has infinity for a deadline that never comes', () => {
    const entry = { owner: '', key: 'k', expiresAtMs: null, payload: Buffer.from('7') }
    const encoded = encodeEntry(entry)
    expect(encoded.readDoubleBE(24)).toBe(Infinity)
    expect(decodeEntry(encoded)).toEqual(entry)
  })
})

describe('a damaged file', () => {
  /** Each damage of a small entry, one byte after the other. */
  async function everyDamage(damage: (bytes: Buffer, at: number) => Buffer) {
    const cache = openFileCache({ location, timeout: null })
    const place = entryPath(location, ':1:key')
    await cache.set('key', 'value')
    const whole = await readFile(place)
    for (let at = 0; at < whole.length; at++) {
      await writeFile(place, damage(Buffer.from(whole), at))
      expect(await cache.get('key'), `byte ${at}`).toBeUndefined()
      expect(await exists(place), `byte ${at}`).toBe(false)
    }
    expect(warnings).toHaveLength(1)
    expect(warnings[0]).toContain('":1:key"')
    expect(warnings[0]).toContain('counts as a miss')
  }

  it.each([
    ['flipped', 0xff],
    ['changed by one bit', 0x01],
  ])('with any byte %s is a miss, reported once and removed', async (_, mask) => {
    await everyDamage((bytes, at) => {
      bytes[at] = (bytes[at] as number) ^ mask
      return bytes
    })
  })

  it('cut off at any byte is a miss, reported once and removed', async () => {
    await everyDamage((bytes, at) => bytes.subarray(0, at))
  })

  it('with anything appended is a miss and removed', async () => {
    const cache = openFileCache({ location })
    const place = entryPath(location, ':1:key')
    for (const more of ['x', 'x'.repeat(20_000)]) {
      await cache.set('key', 'value')
      await writeFile(place, more, { flag: 'a' })
      expect(await cache.get('key')).toBeUndefined()
      expect(await exists(place)).toBe(false)
    }
  })

  it.each([20_000, 300_000])('of %d bytes is a miss wherever it is damaged', async (length) => {
    const cache = openFileCache({ location })
    const place = entryPath(location, ':1:key')
    await cache.set('key', 'x'.repeat(length))
    const whole = await readFile(place)
    for (const at of [0, 16_383, 16_384, whole.length - 1]) {
      const bytes = Buffer.from(whole)
      bytes[at] = (bytes[at] as number) ^ 1
      await writeFile(place, bytes)
      expect(await cache.get('key'), `byte ${at}`).toBeUndefined()
      await writeFile(place, whole.subarray(0, at))
      expect(await cache.get('key'), `cut at ${at}`).toBeUndefined()
    }
  })

  it('of a huge size is not read', async () => {
    const cache = openFileCache({ location })
    const place = entryPath(location, ':1:key')
    await cache.set('key', 'value')
    // Without blocks on the disk: reading it would need a terabyte of memory.
    await truncate(place, 2 ** 40)
    expect(await cache.get('key')).toBeUndefined()
    expect(await exists(place)).toBe(false)
  })

  it('is nothing to add, touch, incr, delete and has', async () => {
    const cache = openFileCache({ location })
    const place = entryPath(location, ':1:key')
    const damage = async () => {
      await cache.set('key', 1)
      await writeFile(place, 'no entry')
    }
    await damage()
    expect(await cache.has('key')).toBe(false)
    await damage()
    expect(await cache.touch('key')).toBe(false)
    await damage()
    expect(await cache.delete('key')).toBe(false)
    await damage()
    await expect(cache.incr('key')).rejects.toThrow('not there')
    await damage()
    expect(await cache.add('key', 2)).toBe(true)
    expect(await cache.get('key')).toBe(2)
    await damage()
    await cache.set('key', 3)
    expect(await cache.get('key')).toBe(3)
  })

  it('goes with the next clear, whoever wrote it', async () => {
    const cache = openFileCache({ location, keyPrefix: 'a' })
    await cache.set('key', 1)
    const place = entryPath(location, 'a:1:key')
    await writeFile(place, '')
    await openFileCache({ location, keyPrefix: 'b' }).clear()
    expect(await exists(place)).toBe(false)
  })

  it.each([
    ['a structure', [4, 0xff, 0x0f, 0x6f, 0x22]],
    ['a number', [0x31, 0x32, 0x78]],
    ['nothing', []],
  ])('that holds a whole entry, but %s nobody can read, is a miss', async (_, bytes) => {
    const cache = openFileCache({ location })
    const payload = Buffer.from(bytes)
    const place = entryPath(location, ':1:key')
    await mkdir(dirname(place), { recursive: true })
    const entry = { owner: '', key: ':1:key', expiresAtMs: null, payload }
    await writeFile(place, encodeEntry(entry))
    expect(await cache.get('key')).toBeUndefined()
    await expect(cache.incr('key')).rejects.toThrow('not there')
    expect(warnings).toHaveLength(1)
  })
})

describe('a value that is too large for a file', () => {
  it('is refused, and no older value is left', async () => {
    const cache = openFileCache({ location })
    await cache.set('key', 'old')
    // Memory of this size is given out only where it is written to, and it is not.
    const huge = Buffer.allocUnsafeSlow(2 ** 31)
    vi.spyOn(coreOf(cache).store, 'packValue').mockReturnValue(huge)
    await expect(cache.set('key', 'new')).rejects.toMatchObject({
      code: 'FRAGCACHE_VALUE_TOO_LARGE',
    })
    expect(await cache.get('key')).toBeUndefined()
    expect(await cache.setMany({ key: 1 })).toEqual(['key'])
  })
})
