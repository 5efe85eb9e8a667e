/**
 * One server of the benchmark `express`, in a process of its own:
 * `node express-server.mjs SUBJECT BYTES [REDIS_URL]`. It tells its parent the port it listens on, or
 * that it can't be, and why.
 */
import { createCaches, LocMemCache } from 'fragcache'
import { responseCache } from 'fragcache/express'
import { responseCache as nodeResponseCache } from 'fragcache/node'
import { createServer } from 'node:http'
import { page } from './express-subjects.mjs'

const [subject, bytes, redisUrl] = process.argv.slice(2)
const { default: express } = await import(
  process.env.BENCH_EXPRESS === '4' ? 'express4' : 'express'
)

const html = page(Number(bytes))
const ready = Buffer.from(html)
const view = (_req, res) => res.send(html)

/** @type {Record<string, () => import('node:http').RequestListener | Promise<object>>} */
const subjects = {
  'node:http': () => (_req, res) => {
    res.writeHead(200, {
      'Content-Type': 'text/html; charset=utf-8',
      'Content-Length': ready.length,
    })
    res.end(ready)
  },
  'first app.use': () => {
    const app = express()
    app.use((_req, res) => {
      res.setHeader('Content-Type', 'text/html; charset=utf-8')
      res.end(ready)
    })
    return app
  },
  'res.send': () => {
    const app = express()
    app.get('/page', view)
    return app
  },
  cacheSite: () => site(pagesOf()),
  cachePage: () => {
    const app = express()
    app.get('/page', pagesOf().cachePage(600), view)
    return app
  },
  'cacheSite, RFC 9111': () => {
    const app = express()
    app.set('trust proxy', true)
    app.use(pagesOf({ rfc9111: true }).cacheSite())
    app.get('/page', (req, res) =>
      res.set('Cache-Control', 'max-age=600').vary('Accept-Language').send(html),
    )
    return app
  },
  listener: () => {
    const pages = pagesOf()
    if (pages.listener === undefined) throw new Error('there is no listener')
    return pages.listener(site(pages))
  },
  'cacheSite, compressed': () => site(pagesOf({ precompress: ['br', 'gzip'] })),
  'listener, compressed': () => {
    const pages = pagesOf({ precompress: ['br', 'gzip'] })
    if (pages.listener === undefined) throw new Error('there is no listener')
    return pages.listener(site(pages))
  },
  handler: () => pagesOfNode().handler(plainView),
  'MGET, Redis': async () => {
    const read = await byHand()
    return async (_req, res) => {
      const [body] = await read()
      res.writeHead(200, {
        'Content-Type': 'text/html; charset=utf-8',
        'Content-Length': body.length,
      })
      res.end(body)
    }
  },
  'first app.use, MGET, Redis': async () => {
    const read = await byHand()
    const app = express()
    app.use(async (_req, res) => {
      const [body] = await read()
      res.setHeader('Content-Type', 'text/html; charset=utf-8')
      res.end(body)
    })
    return app
  },
  'handler, Redis': async () => pagesOfNode(await redisCache()).handler(plainView),
  'listener, Redis': async () => {
    const pages = pagesOf({}, await redisCache())
    return pages.listener(site(pages))
  },
  'cacheSite, Redis': async () => site(pagesOf({}, await redisCache())),
}

/** What a user writes who keeps one page in Redis and reads it on each request. */
async function byHand() {
  const { Redis } = await import('ioredis')
  const redis = new Redis(redisUrl)
  const key = `bench-express:by-hand:${subject}:${bytes}`
  await redis.set(key, ready)
  return () => redis.mgetBuffer(key)
}

async function redisCache() {
  const { RedisCache } = await import('fragcache/redis')
  const keyPrefix = `bench-express-${subject.replaceAll(/\W/g, '')}`
  return new RedisCache({ location: redisUrl, keyPrefix })
}

function plainView(_req, res) {
  res.setHeader('Content-Type', 'text/html; charset=utf-8')
  res.end(html)
}

function pagesOf(options = {}, cache = localMemory()) {
  return responseCache(createCaches({ default: cache }), options)
}

function pagesOfNode(cache = localMemory()) {
  return nodeResponseCache(createCaches({ default: cache }))
}

function localMemory() {
  return new LocMemCache({ options: { maxEntries: 1000 } })
}

function site(pages) {
  const app = express()
  app.use(pages.cacheSite())
  app.get('/page', view)
  return app
}

async function peer() {
  const { responseCaches } = await import('./peers/responses.mjs')
  const app = express()
  responseCaches[subject](app, view, html)
  return app
}

try {
  const listener = await (subjects[subject] ?? peer)()
  const server = createServer({ keepAliveTimeout: 0 }, listener)
  server.listen(0, '127.0.0.1', () => process.send({ port: server.address().port }))
} catch (error) {
  process.send({ missing: error.message.split('\n')[0] })
}
process.on('disconnect', () => process.exit())
