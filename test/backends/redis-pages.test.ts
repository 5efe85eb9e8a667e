import { createServer, request } from 'node:http'
import { once } from 'node:events'
import type { AddressInfo } from 'node:net'
import { describe, expect, it } from 'vitest'
import { responseCache } from '../../adapters/node/index.js'
import { RedisCache } from '../../src/backends/redis.js'
import { createCaches } from '../../src/index.js'
import { redisOfFile } from '../support/redis.js'

const { isThere, url, control } = await redisOfFile()

/** A site over the server, whose page is so many times its version's letter. */
async function site(keyPrefix: string, bytes: number) {
  const caches = createCaches({ default: new RedisCache({ location: url, keyPrefix }) })
  const pages = responseCache(caches)
  const made = { letter: 'a', count: 0 }
  const handler = pages.handler((_req, res) => {
    made.count++
    res.end(made.letter.repeat(bytes))
  })
  const http = createServer(handler).listen(0, '127.0.0.1')
  await once(http, 'listening')
  const { port } = http.address() as AddressInfo
  const get = async () => {
    const sent = request({ port, host: '127.0.0.1', headers: { host: 'a.test' }, path: '/' }).end()
    const [res] = (await once(sent, 'response')) as [NodeJS.ReadableStream]
    let text = ''
    for await (const chunk of res.setEncoding('utf8')) text += String(chunk)
    return `${text[0] ?? ''} ${text.length}`
  }
  const close = async () => {
    http.close()
    await caches.close()
  }
  const invalidate = () => pages.invalidate('http://a.test/')
  // A visitor has the page before it is stored.
  const stored = () =>
    expect
      .poll(async () => (await pages.explain('http://a.test/')).entries, { timeout: 10_000 })
      .toBe(1)
  return { get, made, invalidate, stored, close }
}

const calls = async (name: string) =>
  Number(
    new RegExp(`cmdstat_${name}:calls=(\\d+)`).exec(await control.info('commandstats'))?.[1] ?? 0,
  )

describe.runIf(isThere)('pages over Redis that another process replaces', () => {
  it.each([1000, 100_000])('are the new ones, of %i bytes', async (bytes) => {
    const [one, other] = [await site(`p${bytes}`, bytes), await site(`p${bytes}`, bytes)]
    expect(await one.get()).toBe(`a ${bytes}`)
    await one.stored()
    for (let i = 0; i < 3; i++) expect(await one.get()).toBe(`a ${bytes}`)
    expect(one.made.count).toBe(1)
    other.made.letter = 'b'
    await other.invalidate()
    expect(await other.get()).toBe(`b ${bytes}`)
    await other.stored()
    for (let i = 0; i < 3; i++) expect(await one.get()).toBe(`b ${bytes}`)
    expect([one.made.count, other.made.count]).toEqual([1, 1])
    await one.invalidate()
    one.made.letter = 'c'
    expect(await one.get()).toBe(`c ${bytes}`)
    await Promise.all([one.close(), other.close()])
  })

  it('are not sent again while they are the same, and are made again if something else lies there', async () => {
    const { get, made, stored, close } = await site('same', 100_000)
    await get()
    await stored()
    await get()
    const before = await calls('getrange')
    for (let i = 0; i < 5; i++) expect(await get()).toBe('a 100000')
    expect((await calls('getrange')) - before).toBe(5)
    const [key = ''] = await control.keys('same:*cache_page*')
    await control.del(key)
    await control.hset(key, 'field', 'value')
    made.letter = 'd'
    expect(await get()).toBe('d 100000')
    await close()
  })
})
