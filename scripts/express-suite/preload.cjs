/**
 * Loaded by mocha before Express' own tests, in the folder of the checkout: puts the cache in front of
 * every application that they make, and sends each request twice where it is told to.
 *
 * EXPRESS_SUITE_CACHE: `site`, `page`, or nothing for no cache. EXPRESS_SUITE_TWICE: `1` sends each GET
 * and HEAD once before the test does. EXPRESS_SUITE_FRAGCACHE: the folder of the build.
 */
'use strict'

const http = require('node:http')
const { createRequire } = require('node:module')
const { join } = require('node:path')

const ofCheckout = createRequire(join(process.cwd(), 'index.js'))
const {
  EXPRESS_SUITE_CACHE: cache,
  EXPRESS_SUITE_TWICE: twice,
  EXPRESS_SUITE_FRAGCACHE: dist,
} = process.env

if (cache) putInFront()
if (twice) sendTwice()

function putInFront() {
  const { createCaches, LocMemCache } = require(join(dist, 'src', 'index.js'))
  const { responseCache } = require(join(dist, 'adapters', 'express', 'index.js'))
  const entry = ofCheckout.resolve('./index.js')
  const createApplication = ofCheckout('./lib/express')

  function express() {
    const app = createApplication()
    const { handle } = app
    let isInstalled = false
    app.handle = function handleBehindCache(...args) {
      // When the first request comes all settings are made, which a router of Express 4 keeps as they
      // are when something is used for the first time.
      if (!isInstalled) {
        isInstalled = true
        const pages = responseCache(createCaches({ default: new LocMemCache() }))
        useFirst(app, cache === 'page' ? pages.cachePage(600) : pages.cacheSite())
      }
      return handle.apply(this, args)
    }
    return app
  }
  Object.defineProperties(express, Object.getOwnPropertyDescriptors(createApplication))
  ofCheckout(entry)
  require.cache[entry].exports = express
}

function useFirst(app, middleware) {
  app.use(middleware)
  // Express 4 begins with two layers of its own, and throws where Express 5 has its router.
  const own = app._router === undefined ? 0 : 2
  const { stack } = app._router ?? app.router
  stack.splice(own, 0, stack.pop())
}

function sendTwice() {
  const after = ofCheckout.resolve('after')
  ofCheckout(after)
  require.cache[after].exports = countUpTo
  const Test = ofCheckout('supertest/lib/test')
  const { end } = Test.prototype
  Test.prototype.end = function endTwice(...args) {
    const { method, url, header } = this
    const isRead = method === 'GET' || method === 'HEAD'
    if (!isRead || this._data !== undefined || Object.keys(this.qs ?? {}).length > 0) {
      return end.apply(this, args)
    }
    const headers = { 'Accept-Encoding': 'gzip, deflate', ...header }
    const request = http.request(url, { method, headers, agent: false })
    const goOn = () => void end.apply(this, args)
    request.on('response', (response) => response.on('error', () => undefined).resume())
    request.on('error', () => undefined).once('close', goOn)
    request.end()
    return this
  }
}

/** What counts calls in the tests throws at one too many, and mocha then gives up all other tests too. */
function countUpTo(count, callback) {
  let left = count
  return (error, result) => {
    left--
    if (left >= 0 && (error || left === 0)) callback(error ?? null, result)
  }
}
