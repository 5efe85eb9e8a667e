/**
 * A site for `inspector.mjs`: pages of 20 fragments, of 10,000 in all, and an inspector. It prints its port; on each
 * line of its input it prints how many milliseconds of processor time it has taken since it began.
 */
import { createServer } from 'node:http'
import express from 'express'
import { createCaches, FragmentCache, LocMemCache } from 'fragcache'
import { inspector } from 'fragcache/inspector'

const FRAGMENTS = 10_000
const ON_A_PAGE = 20
const TEXT = 'x'.repeat(500)

const caches = createCaches({ default: new LocMemCache({ options: { maxEntries: 20_000 } }) })
const fragments = new FragmentCache(caches)
const body = () => TEXT
for (let i = 0; i < FRAGMENTS; i++) fragments.renderSync({ name: `fragment-${i}` }, body)

const app = express()
app.use('/__cache', inspector(caches, { authorize: () => true }))
let next = 0
app.get('/page', (_req, res) => {
  const parts = []
  for (let i = 0; i < ON_A_PAGE; i++) {
    parts.push(fragments.renderSync({ name: `fragment-${next++ % FRAGMENTS}` }, body))
  }
  res.send(parts.join(''))
})
const server = createServer({ keepAliveTimeout: 0 }, app)
server.listen(0, '127.0.0.1', () => console.log(server.address().port))
process.stdin.on('data', () => {
  const { user, system } = process.cpuUsage()
  console.log((user + system) / 1000)
})
process.stdin.on('end', () => process.exit())
