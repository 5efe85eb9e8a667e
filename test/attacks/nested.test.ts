import type { RequestHandler } from 'express'
import { createCaches, LocMemCache } from 'fragcache'
import { responseCache } from 'fragcache/express'
import { bobGetsSecret, describeAttacks, secretView } from '../support/attacks.js'

/** A cache of its own, as an inner layer. */
function inner(seconds: number): RequestHandler {
  return responseCache(createCaches({ default: new LocMemCache() })).cachePage(seconds)
}

describeAttacks('caches inside caches', [
  {
    name: 'an inner page of one visitor, in the outer page for all',
    about: 'CVE-2026-103004: what the inner one varies on is lost when it is a hit',
    layers: (app, cache, view) => void app.use(cache, inner(6000), view),
    view: secretView((res) => res.vary('X-User')),
    succeeds: async (target) => {
      await bobGetsSecret(target)
      target.advance(601)
      return bobGetsSecret(target)
    },
    naive: { seconds: 600 },
  },
  {
    name: 'a page for nobody from an inner cache, for a request with Authorization',
    about: 'RFC 9111 §3.5',
    layers: (app, cache, view) => void app.use(cache, inner(6000), view),
    view: (req, res) => res.end(`for ${req.headers.authorization ?? 'nobody'}`),
    succeeds: async ({ site }) => {
      await site.get('/p')
      const headers = { Authorization: 'Basic alice' }
      return (await site.get('/p', { headers })).text !== 'for Basic alice'
    },
  },
  {
    name: 'a page that an inner cache refused, stored by the outer one',
    about: 'CVE-2026-119351: a refusal inside is one outside',
    layers: (app, cache, view) => void app.use(cache, inner(6000), view),
    view: secretView((res) => res.set('Cache-Control', 'private')),
    succeeds: bobGetsSecret,
  },
])
