import express from 'express'
import { once } from 'node:events'
import { createServer, type Server } from 'node:http'
import { connect, type AddressInfo } from 'node:net'
import { setFlagsFromString } from 'node:v8'
import { runInNewContext } from 'node:vm'
import { afterEach, describe, expect, it } from 'vitest'
import { responseCache } from '../../adapters/express/index.js'
import type { LocMemOptions } from '../../src/backends/locmem.js'
import { MEMO_BYTES } from '../../src/bounded-memo.js'
import { createCaches, FragmentCache, LocMemCache, type Caches } from '../../src/index.js'
import { REMEMBERED_BYTES } from '../../src/observe/remembered.js'

setFlagsFromString('--expose-gc')
const gc = runInNewContext('gc') as () => void

const MB = 1e6

/** What Node, Express and Vitest need meanwhile, beside what is remembered of what was stored. */
const SLACK = 8 * MB + REMEMBERED_BYTES / 2

/** 300 entries: a hundred pages, kept as stored and decoded, with the URL in each. */
const KEPT = 100 * 2 * 12_000

interface Sent {
  readonly path?: string
  readonly host?: string
  readonly header?: string
}

interface Site {
  readonly port: number
  readonly caches: Pick<Caches, 'stats'>
}

const servers: Server[] = []

afterEach(() => {
  for (const server of servers.splice(0)) server.close()
})

async function start(options: LocMemOptions = {}, cacheControl = 'public'): Promise<Site> {
  const caches = createCaches({ default: new LocMemCache({ options }) })
  const app = express()
  app.use(responseCache(caches, { seconds: 600 }).cacheSite())
  const answer: express.RequestHandler = (_req, res) => {
    res.set('Cache-Control', cacheControl).send('page')
  }
  app.use('/under/:name', express.Router().get('/p', answer)).get('/p', answer)
  const server = createServer(app).listen(0, '127.0.0.1')
  servers.push(server)
  await once(server, 'listening')
  return { port: (server.address() as AddressInfo).port, caches }
}

/** So many requests that have nothing in common, a hundred to a connection. */
async function flood({ port }: Site, count: number, request: (i: number) => Sent): Promise<void> {
  for (let from = 0; from < count; from += 100) {
    let text = ''
    for (let i = from; i < from + 100; i++) {
      const { path = '/p', host = 'a.test', header = 'x-odd: 1' } = request(i)
      const connection = i === from + 99 ? 'close' : 'keep-alive'
      text += `GET ${path} HTTP/1.1\r\nHost: ${host}\r\n${header}\r\nConnection: ${connection}\r\n\r\n`
    }
    const socket = connect(port, '127.0.0.1')
    socket.write(text)
    let answers = ''
    for await (const part of socket) answers += String(part)
    expect(answers.match(/HTTP\/1\.1 200 OK/g)).toHaveLength(100)
  }
}

const long = (i: number, length: number) => `${i}-`.padEnd(length, 'x')

async function used(): Promise<number> {
  for (let i = 0; i < 3; i++) {
    await new Promise((resolve) => setTimeout(resolve, 20))
    gc()
  }
  const { heapUsed, arrayBuffers } = process.memoryUsage()
  return heapUsed + arrayBuffers
}

/** Bytes that are in use afterwards and were not before. */
async function left(site: object, action: () => Promise<void>): Promise<number> {
  const before = await used()
  await action()
  const after = await used()
  // Until here nothing of it is given up.
  expect(site).toBeDefined()
  return after - before
}

describe('what strangers leave behind in memory', () => {
  it('is little after requests with long URLs', { timeout: 60_000 }, async () => {
    const site = await start()
    await flood(site, 300, () => ({}))
    const bytes = await left(site, () =>
      flood(site, 1000, (i) => ({ path: `/p?${long(i, 12_000)}` })),
    )
    expect(bytes).toBeLessThan(KEPT + SLACK)
  })

  it('is little after requests with long hosts', { timeout: 60_000 }, async () => {
    const site = await start()
    await flood(site, 300, () => ({}))
    const bytes = await left(site, () => flood(site, 1000, (i) => ({ host: long(i, 12_000) })))
    expect(bytes).toBeLessThan(KEPT + SLACK)
  })

  it(
    'is next to nothing after requests with long names of fields',
    { timeout: 60_000 },
    async () => {
      const site = await start({}, 'private')
      await flood(site, 300, () => ({}))
      const bytes = await left(site, () =>
        flood(site, 1000, (i) => ({ header: `x-${long(i, 14_000)}: 1` })),
      )
      expect(bytes).toBeLessThan(SLACK)
    },
  )

  it(
    'follows maxBytes after pages of very long URLs: what is evicted is kept nowhere else',
    { timeout: 120_000 },
    async () => {
      const maxBytes = 2 * MB
      const site = await start({ maxEntries: 100_000, maxBytes })
      await flood(site, 300, () => ({}))
      const bytes = await left(site, () =>
        flood(site, 1400, (i) => ({ path: `/p?${long(i, 14_000)}` })),
      )
      expect(bytes).toBeLessThan(4 * maxBytes + SLACK)
    },
  )

  it(
    'is little after paths under a mounted router, whose names statistics do not tell apart',
    { timeout: 120_000 },
    async () => {
      const site = await start()
      await flood(site, 300, () => ({}))
      const bytes = await left(site, () =>
        flood(site, 1200, (i) => ({ path: `/under/${long(i, 12_000)}/p` })),
      )
      expect(bytes).toBeLessThan(KEPT + SLACK)
      const [...routes] = site.caches.stats().routes
      expect(routes.map(({ route }) => route)).toEqual(['GET /p', '(others)'])
    },
  )

  it(
    'is within the bytes of memos after fragments with long names and values',
    { timeout: 60_000 },
    async () => {
      const caches = createCaches({ default: new LocMemCache() })
      const fragments = new FragmentCache(caches)
      const bytes = await left(caches, async () => {
        for (let i = 0; i < 2500; i++) {
          await fragments.render({ name: long(i, 8000), timeout: 600 }, () => 'text')
          await fragments.render({ name: 'f', varyOn: [long(i, 500)], timeout: 600 }, () => 'text')
        }
      })
      expect(bytes).toBeLessThan(MEMO_BYTES / 2 + SLACK)
    },
  )
})
