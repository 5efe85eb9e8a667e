import http from 'node:http'
import { createCaches, LocMemCache } from 'fragcache'
import type { NextFunction, Request, Response } from 'express'
import { responseCache as expressCache } from 'fragcache/express'
import { responseCache } from 'fragcache/node'
import { describe, expect, it, onTestFinished } from 'vitest'
import { stopClock } from '../support/cached-site.js'
import { expressVersions, Site } from '../support/express.js'

type Handler = (req: http.IncomingMessage, res: http.ServerResponse) => void

/** Handlers of a page: what each run does, the last one again and again. */
function inTurn(...handlers: Handler[]) {
  const one = {
    runs: 0,
    handle: (req: http.IncomingMessage, res: http.ServerResponse) => {
      handlers[Math.min(one.runs++, handlers.length - 1)]?.(req, res)
    },
  }
  return one
}

const page: (text: string) => Handler = (text) => (_req, res) => {
  res.setHeader('Cache-Control', 'max-age=60')
  res.end(text)
}
const hang: Handler = () => undefined

const options = { producerTimeoutMs: 40, staleIfError: 600, waitSeconds: 0 }

interface Kind {
  readonly name: string
  /** @param given - Replaces the options. */
  open(handler: Handler, given?: object): Promise<Site>
}

const kinds: readonly Kind[] = [
  ...expressVersions.map(({ version, express }) => ({
    name: `the middleware in ${version}`,
    open: async (handler: Handler, given: object = options) => {
      const pages = expressCache(createCaches({ default: new LocMemCache() }), given)
      const app = express()
      app.get('/', pages.cachePage(60), handler)
      app.use((error: Error, _req: Request, res: Response, _next: NextFunction) => {
        const { status, name } = error as Error & { status: number }
        res.status(status).send(`sorry: ${name}`)
      })
      return Site.open(app)
    },
  })),
  {
    name: 'the listener in front of Express',
    open: async (handler, given = options) => {
      const express = expressVersions[1].express
      const pages = expressCache(createCaches({ default: new LocMemCache() }), given)
      const app = express()
      app.get('/', handler)
      return Site.open(pages.listener(app))
    },
  },
  {
    name: 'a handler of node:http',
    open: async (handler, given = options) => {
      const pages = responseCache(createCaches({ default: new LocMemCache() }), given)
      return Site.open(pages.handler(handler))
    },
  },
]

describe.each(kinds)('a handler that never answers, behind $name', ({ name, open }) => {
  it('fails the request in time, and is not stored', async () => {
    const pages = inTurn(hang, page('made'))
    const site = await open(pages.handle)
    const failed = await site.get('/')
    expect(failed.status).toBe(504)
    if (name.startsWith('the middleware')) expect(failed.text).toBe('sorry: ProducerTimeoutError')
    expect((await site.get('/')).text).toBe('made')
    expect((await site.get('/')).text).toBe('made')
    expect(pages.runs).toBe(2)
  })

  it('keeps what earlier middleware said of security, and nothing of the body', async () => {
    const site = await open((_req, res) => {
      res.setHeader('Content-Security-Policy', "default-src 'self'")
      res.setHeader('Content-Encoding', 'gzip')
      res.setHeader('ETag', '"half"')
    })
    const { status, headers } = await site.get('/')
    expect(status).toBe(504)
    expect(headers['content-security-policy']).toBe("default-src 'self'")
    if (name.startsWith('a handler')) {
      expect([headers['content-encoding'], headers['etag']]).toEqual([undefined, undefined])
    }
  })

  it('is replaced by the older page', async () => {
    const pages = inTurn(page('old'), hang, page('new'))
    const clock = stopClock()
    const site = await open(pages.handle)
    expect((await site.get('/')).text).toBe('old')
    clock.advance(61)
    const stale = await site.get('/')
    expect([stale.status, stale.text]).toEqual([200, 'old'])
    expect(stale.cacheStatus).toContain('view-failed-504')
    expect((await site.get('/')).text).toBe('new')
  })

  it('lets go of those who wait for it', async () => {
    const pages = inTurn(hang, page('made'))
    const site = await open(pages.handle, { producerTimeoutMs: 40 })
    const first = site.get('/')
    while (pages.runs === 0) await new Promise((resolve) => setTimeout(resolve, 1))
    const others = await Promise.all([site.get('/'), site.get('/')])
    expect((await first).status).toBe(504)
    expect(others.map(({ text }) => text)).toEqual(['made', 'made'])
  })

  it('drops what it writes later, and neither the process nor the connection fails', async () => {
    const faults: unknown[] = []
    const note = (error: unknown) => void faults.push(error)
    process.on('uncaughtException', note)
    process.on('unhandledRejection', note)
    onTestFinished(() => {
      process.off('uncaughtException', note)
      process.off('unhandledRejection', note)
    })
    let written!: () => void
    const late = new Promise<void>((resolve) => (written = resolve))
    const pages = inTurn((_req, res) => {
      setTimeout(() => {
        res.setHeader('X-Late', '1')
        res.writeHead(200, { 'Content-Type': 'text/plain' })
        res.write('late')
        res.end('text')
        written()
      }, 120)
    }, page('made'))
    const site = await open(pages.handle)
    const agent = new http.Agent({ keepAlive: true, maxSockets: 1 })
    onTestFinished(() => agent.destroy())
    const ask = () =>
      new Promise<string>((resolve, reject) => {
        const request = http.get(
          { port: site.port, host: '127.0.0.1', path: '/', agent },
          (res) => {
            let text = ''
            res.on('data', (part: Buffer) => (text += part.toString()))
            res.on('end', () => resolve(`${res.statusCode} ${text}`))
          },
        )
        request.on('error', reject)
      })
    expect(await ask()).toMatch(/^504 /)
    await late
    expect(await ask()).toBe('200 made')
    expect(faults).toEqual([])
  })

  it('has all the time it takes once it has begun to answer, or where nothing is set', async () => {
    const slow: Handler = (_req, res) => {
      res.setHeader('Cache-Control', 'max-age=60')
      res.write('slow ')
      setTimeout(() => res.end('page'), 120)
    }
    const begun = await open(slow)
    expect((await begun.get('/')).text).toBe('slow page')
    const later: Handler = (req, res) => void setTimeout(() => page('later')(req, res), 120)
    const unlimited = await open(later, {})
    expect((await unlimited.get('/')).text).toBe('later')
  })
})

it('refuses what is not a limit', () => {
  const caches = createCaches({ default: new LocMemCache() })
  expect(() => responseCache(caches, { producerTimeoutMs: 0 })).toThrow(
    /^responseCache: producerTimeoutMs: 0 is not a number of milliseconds above 0/,
  )
})
