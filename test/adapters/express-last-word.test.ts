import express from 'express'
import { createCaches, LocMemCache } from 'fragcache'
import { responseCache } from 'fragcache/express'
import { expect, it, vi } from 'vitest'
import { session, Site } from '../support/express.js'

// As where Node has no hook behind the layers around the cache.
vi.mock('../../adapters/node/last-word.js', async (importOriginal) => ({
  ...(await importOriginal<object>()),
  onLastWord: () => undefined,
}))

it('a cookie that a session around the cache sets late keeps the page from being stored', async () => {
  const app = express()
  const pages = responseCache(createCaches({ default: new LocMemCache() }))
  app.use(session({ secret: 's', resave: false, saveUninitialized: true }), pages.cacheSite())
  let runs = 0
  app.use((_req, res) => void res.send(`run ${++runs}`))
  const site = await Site.open(app)
  const first = await site.get('/p')
  const second = await site.get('/p')
  expect(first.headers['set-cookie']).toHaveLength(1)
  expect(second.text).toBe('run 2')
  expect(second.headers['set-cookie']).not.toEqual(first.headers['set-cookie'])
})
