import { once } from 'node:events'
import type { AddressInfo } from 'node:net'
import express from 'express'
import nunjucks from 'nunjucks'
import { afterEach, describe, expect, it, vi } from 'vitest'
import { responseCache } from '../../adapters/express/index.js'
import { registerCache } from '../../adapters/nunjucks/index.js'
import { createCaches, LocMemCache } from '../../src/index.js'
import { AsyncTestCache } from '../support/async-cache.js'

/* What docs/production.md says beside its samples. */

afterEach(() => {
  vi.restoreAllMocks()
})

describe('templates over a cache that answers later', () => {
  it('cannot be rendered synchronously, and say so', () => {
    const env = new nunjucks.Environment(null, { autoescape: true })
    registerCache(env, createCaches({ default: new AsyncTestCache() }))
    const render = () => env.renderString('{% cache 60 box %}text{% endcache %}', {})
    expect(render).toThrow(/renderAsync/)
  })
})

describe('an invalidation while the store is down', () => {
  it.each([false, true])('leaves what it was to remove, with ignoreErrors: %s', async (lenient) => {
    vi.spyOn(process, 'emitWarning').mockImplementation(() => undefined)
    const cache = new AsyncTestCache({ ignoreErrors: lenient })
    await cache.set('k', 'old', { tags: ['t'] })
    cache.failing = true
    const invalidated = cache.invalidateTags(['t'])
    if (lenient) await invalidated
    else await expect(invalidated).rejects.toThrow(/the test store is down/)
    cache.failing = false
    await expect.poll(() => cache.get('k').catch(() => undefined)).toBe('old')
  })
})

describe('a deployment', () => {
  it('shows old pages despite digests, and new ones under another key prefix', async () => {
    const caches = createCaches({ default: new LocMemCache() })
    /** A process with that template, and the whole page cached. */
    const show = async (template: string, keyPrefix: string) => {
      const env = new nunjucks.Environment(null, { autoescape: true })
      registerCache(env, caches, { digest: true })
      const pages = responseCache(caches, { keyPrefix })
      const app = express()
      app.set('trust proxy', true)
      app.get('/', pages.cachePage(60), (_req, res) => {
        res.send(env.renderString(`{% cache 60 box %}${template}{% endcache %}`, {}))
      })
      const server = app.listen(0, '127.0.0.1')
      await once(server, 'listening')
      const { port } = server.address() as AddressInfo
      try {
        const headers = { 'X-Forwarded-Host': 'shop.example' }
        return await (await fetch(`http://127.0.0.1:${port}/`, { headers })).text()
      } finally {
        server.close()
        server.closeAllConnections()
      }
    }
    expect(await show('old', 'r1')).toBe('old')
    expect(await show('new', 'r1')).toBe('old')
    expect(await show('new', 'r2')).toBe('new')
  })
})
