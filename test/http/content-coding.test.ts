import { createRequire } from 'node:module'
import * as zlib from 'node:zlib'
import { describe, expect, it } from 'vitest'
import { availableCodings, compressBody } from '../../src/http/compress-body.js'
import { chooseCoding, isCompressible, type Coding } from '../../src/http/content-coding.js'
import { fc } from '../support/random.js'

const require = createRequire(import.meta.url)
// What the middleware `compression` goes by.
const ofCompression = createRequire(require.resolve('compression'))
const compressible = ofCompression('compressible') as (type: string) => boolean | undefined
const mimeDb = createRequire(ofCompression.resolve('compressible'))('mime-db') as Record<
  string,
  { compressible?: boolean }
>

const ALL: readonly Coding[] = ['br', 'gzip', 'zstd']

describe('the coding of an answer', () => {
  it.each<[string | undefined, readonly Coding[], Coding | undefined]>([
    // Accept-Encoding, what there is, what is sent
    [undefined, ALL, undefined],
    ['', ALL, undefined],
    ['gzip', [], undefined],
    ['gzip', ALL, 'gzip'],
    ['br', ['gzip'], undefined],
    // the server's order where the client does not care
    ['gzip, deflate, br, zstd', ALL, 'br'],
    ['gzip, deflate, br, zstd', ['zstd', 'br', 'gzip'], 'zstd'],
    ['gzip, deflate', ALL, 'gzip'],
    ['deflate', ALL, undefined],
    // the client's weights before it
    ['gzip;q=1.0, br;q=0.5', ALL, 'gzip'],
    ['gzip;q=0.5, br;q=0.501', ALL, 'br'],
    ['gzip;q=0.5, br;q=0.5', ALL, 'br'],
    ['br;q=0, gzip;q=0.001', ALL, 'gzip'],
    ['gzip;q=0', ALL, undefined],
    ['gzip;q=0.000', ALL, undefined],
    ['gzip;q=0.3', ALL, 'gzip'],
    // the examples of RFC 9110 §12.5.3
    ['compress, gzip', ALL, 'gzip'],
    ['*', ALL, 'br'],
    ['compress;q=0.5, gzip;q=1.0', ALL, 'gzip'],
    ['gzip;q=1.0, identity; q=0.5, *;q=0', ALL, 'gzip'],
    // identity
    ['identity', ALL, undefined],
    ['identity, gzip;q=0.5', ALL, undefined],
    ['identity;q=0.5, gzip;q=0.5', ALL, 'gzip'],
    ['identity;q=0, gzip;q=0.1', ALL, 'gzip'],
    ['identity;q=0', ALL, undefined],
    ['*;q=0', ALL, undefined],
    ['gzip;q=0, *', ALL, 'br'],
    ['gzip;q=0, *', ['gzip'], undefined],
    ['br;q=0.1, *;q=0.5', ['br'], undefined],
    ['br;q=0.1, *;q=0.5', ['br', 'gzip'], 'gzip'],
    // the same in other letters
    ['GZip', ALL, 'gzip'],
    ['x-gzip', ALL, 'gzip'],
    ['gzip;Q=0, br;Q=0.5', ALL, 'br'],
    ['gzip ; q=0.2 ,\tbr;\tq=0.1', ALL, 'gzip'],
    [',, gzip,', ALL, 'gzip'],
    // named twice
    ['gzip;q=0, gzip', ALL, undefined],
    ['gzip, gzip;q=0', ALL, undefined],
    ['gzip, x-gzip;q=0', ALL, undefined],
    // malformed: as it is
    ['gzip;q=', ALL, undefined],
    ['gzip;q=2', ALL, undefined],
    ['gzip;q=1.001', ALL, undefined],
    ['gzip;q=0.1234', ALL, undefined],
    ['gzip;q=-1', ALL, undefined],
    ['gzip;q = 1', ALL, undefined],
    ['gzip;q=.5', ALL, undefined],
    ['gzip;level=9', ALL, undefined],
    ['gzip;q=1;q=0', ALL, undefined],
    ['gzip br', ALL, undefined],
    ['gzip, br;q=x', ALL, undefined],
    [';q=1', ALL, undefined],
    ['gzip\u0000', ALL, undefined],
    ['constructor, __proto__', ALL, undefined],
  ])('%j of %j is %s', (accepts, available, chosen) => {
    expect(chooseCoding(accepts, available)).toBe(chosen)
  })

  it('is never one that the client excludes or that there is not', () => {
    const name = fc.constantFrom('br', 'gzip', 'zstd', 'identity', '*', 'deflate', 'x-gzip', 'é')
    const weight = fc.constantFrom('', ';q=0', ';q=0.5', ';q=1', '; q=0.0', ';q', ';')
    const accepts = fc.array(fc.tuple(name, weight).map((parts) => parts.join('')))
    fc.assert(
      fc.property(accepts, fc.subarray([...ALL]), (members, available) => {
        const chosen = chooseCoding(members.join(', '), available)
        if (chosen === undefined) return
        expect(available).toContain(chosen)
        const names = [chosen, ...(chosen === 'gzip' ? ['x-gzip'] : [])]
        const about = members.filter((member) => names.includes(member.split(';')[0] ?? ''))
        const counts = about.length > 0 ? about : members.filter((member) => member[0] === '*')
        expect(counts.length).toBeGreaterThan(0)
        expect(counts.some((member) => /q=0(\.0)?$/.test(member))).toBe(false)
      }),
    )
  })
})

describe('what is worth compressing', () => {
  it.each([
    ['text/html', true],
    ['text/html; charset=utf-8', true],
    [' Text/HTML ;charset=x', true],
    ['application/json', true],
    ['application/problem+json; charset=utf-8', true],
    ['application/rss+xml', true],
    ['image/svg+xml', true],
    ['application/wasm', true],
    ['text/javascript', true],
    ['text/x-of-our-own', true],
    [undefined, false],
    ['', false],
    ['text', false],
    ['text/', false],
    ['text/html/x', false],
    ['+json', false],
    ['image/png', false],
    ['image/avif', false],
    ['video/mp4', false],
    ['application/zip', false],
    ['application/gzip', false],
    ['application/pdf', false],
    ['application/octet-stream', false],
    ['font/woff2', false],
    ['x/y', false],
  ])('%s: %s', (type, worth) => {
    expect(isCompressible(type)).toBe(worth)
  })

  it('is nothing that the database of media types calls compressed', () => {
    const wrong = Object.keys(mimeDb).filter(
      (type) => isCompressible(type) && mimeDb[type]?.compressible === false,
    )
    expect(wrong).toEqual([])
  })

  it('is what the middleware `compression` compresses, but for what no page is', () => {
    const others =
      /^(message|x-shader)\/|octet-stream|virtualbox|tar$|dart$|httpd-php|photoshop|vnd\.ms-dds/
    const missed = Object.keys(mimeDb).filter(
      (type) => compressible(type) === true && !isCompressible(type) && !others.test(type),
    )
    expect(missed).toEqual([])
  })
})

describe('a compressed body', () => {
  const { zstdDecompressSync: unzstd } = zlib as { zstdDecompressSync?: (body: Buffer) => Buffer }
  const decoders = {
    br: zlib.brotliDecompressSync,
    gzip: zlib.gunzipSync,
    ...(unzstd && { zstd: unzstd }),
  }

  it.each(Object.entries(decoders))('is the same once decoded: %s', async (coding, decode) => {
    const bodies = [
      Buffer.alloc(0),
      Buffer.from('ü'),
      Buffer.from('<li>an item of a list</li>\n'.repeat(5000)),
      Buffer.from(Array.from({ length: 100_000 }, (_, i) => (i * i * 7919) % 251)),
    ]
    for (const body of bodies) {
      const compressed = await compressBody(coding as Coding, body)
      expect(decode(compressed).equals(body)).toBe(true)
    }
    const [, , page] = bodies
    expect((await compressBody(coding as Coding, page ?? Buffer.of())).length).toBeLessThan(1000)
  })

  it('can be had in those codings that this Node has', () => {
    const has = unzstd !== undefined
    expect(availableCodings(['zstd', 'br', 'gzip'])).toEqual([
      ...(has ? ['zstd'] : []),
      'br',
      'gzip',
    ])
    expect(availableCodings(['gzip'])).toEqual(['gzip'])
    expect(availableCodings([])).toEqual([])
  })

  it.skipIf(unzstd !== undefined)('is refused in one that it has not', async () => {
    await expect(compressBody('zstd', Buffer.from('x'))).rejects.toThrow(/no zstd.*22\.15/)
  })
})
