import { createCaches } from 'fragcache'
import { responseCache } from 'fragcache/node'
import { once } from 'node:events'
import type { IncomingMessage, ServerResponse } from 'node:http'
import net from 'node:net'
import { describe, expect, it, onTestFinished } from 'vitest'
import { AsyncTestCache } from '../support/async-cache.js'
import { eventually, Site } from '../support/express.js'
import { settle } from '../support/waiting.js'

/** A site whose store can be made to wait, and what becomes of the requests that it had. */
async function openSite(inner: (req: IncomingMessage, res: ServerResponse) => unknown) {
  const cache = new AsyncTestCache()
  const pages = responseCache(createCaches({ default: cache }), { waitSeconds: 180 })
  const handler = pages.handler(inner)
  const outcomes: string[] = []
  const site = await Site.open((req: IncomingMessage, res: ServerResponse) => {
    Promise.resolve(handler(req, res)).then(
      () => outcomes.push('resolved'),
      (error: unknown) => {
        outcomes.push(String(error))
        res.end()
      },
    )
  })
  return { cache, site, outcomes }
}

/** Asks for a page while the store hangs at a round trip of it, and goes away. */
async function goAway({ cache, site }: Awaited<ReturnType<typeof openSite>>, roundTrip: number) {
  const trips = () => cache.reads + cache.writes
  const before = trips()
  cache.hanging = true
  const [[, res]] = await Promise.all([
    once(site.server, 'request') as Promise<[IncomingMessage, ServerResponse]>,
    (async () => {
      const request = site.request('/')
      request.on('error', () => undefined).end()
      for (let trip = 1; trip <= roundTrip; trip++) {
        await eventually(() => trips() - before >= trip)
        await settle()
        if (trip === roundTrip) break
        cache.hanging = false
        cache.hanging = true
      }
      request.destroy()
    })(),
  ])
  await eventually(() => res.closed)
  cache.hanging = false
  await settle()
}

function unhandledRejections(): unknown[] {
  const seen: unknown[] = []
  const listener = (error: unknown) => void seen.push(error)
  process.on('unhandledRejection', listener)
  onTestFinished(() => void process.off('unhandledRejection', listener))
  return seen
}

describe('a client that goes away while the store is asked', () => {
  it.each([1, 2, 3])('leaves no rejection that nobody handles, at round trip %i', async (trip) => {
    const unhandled = unhandledRejections()
    const open = await openSite(async (_req, res) => {
      await Promise.resolve()
      if (res.closed) throw new Error('nobody is there')
      res.end('page')
    })
    await goAway(open, trip)
    await settle()
    expect(unhandled).toEqual([])
    expect((await open.site.get('/')).text).toBe('page')
  })

  it.each([1, 2, 3])('keeps nobody waiting for its page, at round trip %i', async (trip) => {
    const open = await openSite(async (_req, res) => {
      // As one that pipes a stream, of which a response that is gone takes nothing.
      if (res.closed) await new Promise(() => undefined)
      res.end('page')
    })
    await goAway(open, trip)
    expect((await open.site.get('/')).text).toBe('page')
    expect(open.outcomes[0]).toBe('resolved')
  })
})

describe('a client that goes away while an earlier answer of its connection is due', () => {
  it('keeps nobody waiting for its page', async () => {
    let runs = 0
    const { site, outcomes } = await openSite((req, res) => {
      if (req.url === '/first') return
      // As one that pipes a stream, of which a response without a socket takes little.
      if (++runs > 1) res.end('page')
    })
    const { port, host } = new URL(site.origin)
    const client = net.connect(Number(port), '127.0.0.1')
    const requestOf = (path: string) => `GET ${path} HTTP/1.1\r\nHost: ${host}\r\n\r\n`
    client.write(requestOf('/first') + requestOf('/'))
    await eventually(() => runs === 1)
    client.destroy()
    await eventually(() => outcomes.length === 2)
    expect((await site.get('/')).text).toBe('page')
    expect(outcomes).toEqual(['resolved', 'resolved', 'resolved'])
  })
})
