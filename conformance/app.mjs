/**
 * The Express app under test: `cacheSite` in front of one view, which answers what the suite's origin
 * answers. As far as Node lets it, it passes on what a proxy would keep to itself, so that the cache
 * is what is tested, and not the view.
 */
import express from 'express'
import http from 'node:http'
import { responseCache } from '../dist/adapters/express/index.js'
import { createCaches, LocMemCache } from '../dist/src/index.js'
import { listening } from './origin.mjs'

/**
 * What responseCache is set to, per mode. With the default rules these options: the suite has no
 * response that is fresh for no reason of its own, serves stale ones where they say so, and has errors
 * and redirects that say how long they are fresh.
 */
export const MODES = {
  rfc9111: { rfc9111: true },
  default: {
    seconds: null,
    staleWhileRevalidate: true,
    statuses: [200, 203, 204, 301, 308, 404, 410],
  },
}

/**
 * @param {keyof typeof MODES} mode
 * @param {http.Server} origin
 * @param {boolean} inFront - Whether `listener` answers hits before Express, and not `cacheSite`.
 * @returns {Promise<http.Server>} Listening on 127.0.0.1.
 */
export async function startApp(mode, origin, inFront) {
  const caches = createCaches({ default: new LocMemCache({ options: { maxEntries: 100_000 } }) })
  const pages = responseCache(caches, MODES[mode])
  const app = express()
  app.disable('x-powered-by')
  if (!inFront) app.use(pages.cacheSite())
  app.use(passTo(origin.address().port))
  return listening(http.createServer(inFront ? pages.listener(app) : app))
}

/** How one connection frames its messages; Node frames those of the next by itself. */
const FRAMING = new Set(['connection', 'transfer-encoding'])

function passTo(port) {
  return (req, res) => {
    const headers = Object.fromEntries(
      Object.entries(req.headers).filter(([name]) => !FRAMING.has(name)),
    )
    const upstream = http.request({
      host: '127.0.0.1',
      port,
      method: req.method,
      path: req.originalUrl,
      headers,
      agent: false,
    })
    upstream.on('information', ({ statusCode, headers }) => {
      if (statusCode === 102) res.writeProcessing()
      if (statusCode === 103) res.writeEarlyHints(headers)
    })
    let isAnswered = false
    upstream.on('response', (answer) => {
      isAnswered = true
      res.statusCode = answer.statusCode
      res.statusMessage = answer.statusMessage
      for (const [name, values] of linesOf(answer.rawHeaders)) {
        if (isFraming(name, values)) continue
        res.setHeader(name, values.length === 1 ? values[0] : values)
      }
      answer.on('error', () => res.destroy())
      answer.pipe(res)
    })
    upstream.on('error', () => {
      // After a response it is about the connection alone: the suite's origin writes more than its
      // Content-Length says.
      if (!isAnswered) res.status(502).type('text/plain').send('the origin did not answer')
    })
    req.pipe(upstream)
  }
}

/** Name as written → its lines, in order. */
function linesOf(rawHeaders) {
  const lines = new Map()
  for (let i = 0; i < rawHeaders.length; i += 2) {
    const [name, value] = [rawHeaders[i], rawHeaders[i + 1]]
    const known = [...lines.keys()].find((other) => other.toLowerCase() === name.toLowerCase())
    lines.set(known ?? name, [...(lines.get(known) ?? []), value])
  }
  return lines
}

/** `Connection: close` is Node's own; another one is a test's, and says what not to store. */
function isFraming(name, values) {
  const field = name.toLowerCase()
  return field === 'connection' ? values.join() === 'close' : FRAMING.has(field)
}
