/**
 * One case of the benchmark `memory`, in a process of its own with `--expose-gc`: sends requests that
 * have nothing in common to a site, and prints the bytes that they leave behind.
 */
import express from 'express'
import { createCaches, FragmentCache, LocMemCache } from 'fragcache'
import { responseCache } from 'fragcache/express'
import { once } from 'node:events'
import { createServer } from 'node:http'
import { connect } from 'node:net'
import { CASES } from './memory-cases.mjs'

/** Before anything is counted, so that what Node and Express keep for themselves is there. */
const WARM_UP = 300
const AT_ONCE = 100

const [name] = process.argv.slice(2)
const { count, options = {}, headers = {}, requestOf, render } = CASES[name]
const caches = createCaches({ default: new LocMemCache({ options }) })
const run = render === undefined ? await requests() : await renders()
await run(0, WARM_UP)
const before = await used()
await run(WARM_UP, WARM_UP + count)
const after = await used()
process.stdout.write(
  JSON.stringify({ count, bytes: after - before, resident: process.memoryUsage.rss() }),
)
process.exit()

async function renders() {
  const fragments = new FragmentCache(caches)
  return async (from, to) => {
    for (let i = from; i < to; i++) {
      const [fragment, varyOn] = render(i)
      await fragments.render({ name: fragment, varyOn, timeout: 600 }, () => 'text')
    }
  }
}

async function requests() {
  const app = express()
  app.use(responseCache(caches, { seconds: 600 }).cacheSite())
  const router = express.Router().get('/p', answer)
  app.use('/under/:name', router).get('/p', answer)
  const server = createServer(app).listen(0, '127.0.0.1')
  await once(server, 'listening')
  const { port } = server.address()
  return async (from, to) => {
    for (let i = from; i < to; i += AT_ONCE) await send(port, i, Math.min(to, i + AT_ONCE))
  }
}

function answer(_req, res) {
  res.set(headers).send('page')
}

async function send(port, from, to) {
  let text = ''
  for (let i = from; i < to; i++) {
    const { path = '/p', host = 'a.test', header = 'x-odd: 1' } = requestOf(i)
    const connection = i === to - 1 ? 'close' : 'keep-alive'
    text += `GET ${path} HTTP/1.1\r\nHost: ${host}\r\n${header}\r\nConnection: ${connection}\r\n\r\n`
  }
  const socket = connect(port, '127.0.0.1')
  socket.write(text)
  let answers = ''
  for await (const part of socket) answers += String(part)
  const fine = answers.match(/HTTP\/1\.1 200 OK/g)?.length
  if (fine !== to - from) throw new Error(`memory: ${name}: ${fine} of ${to - from} are fine`)
}

/** Bytes in use once everything is collected that can be. */
async function used() {
  for (let i = 0; i < 4; i++) {
    await new Promise((resolve) => setTimeout(resolve, 50))
    globalThis.gc()
  }
  const { heapUsed, arrayBuffers } = process.memoryUsage()
  return heapUsed + arrayBuffers
}
