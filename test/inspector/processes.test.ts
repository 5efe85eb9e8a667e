import { chromium, type Browser } from 'playwright-core'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import type { ProcessRow } from '../../adapters/inspector/index.js'
import { bundleSources, type Bundle } from '../support/bundle.js'
import { ensureChromium } from '../support/chromium.js'
import { sharedServer } from '../support/servers.js'
import { startWorker, type Worker } from '../support/worker.js'

const redis = await sharedServer('redis')
const launch = redis && (await ensureChromium())

/**
 * The workers of a cluster, with a cache of their own and one that they share, and an inspector each. `/use` finds one
 * key in each and misses one. They tell often, since a test is not to wait for five seconds.
 */
const script = `
  const { default: cluster } = await import('node:cluster')
  const { default: http } = await import('node:http')
  if (cluster.isPrimary) {
    const workers = [1, 2, 3].map(() => cluster.fork())
    const ports = workers.map((one) => new Promise((on) => one.once('listening', ({ port }) => on(port))))
    process.send((await Promise.all(ports))[0])
    await new Promise((go) => process.once('message', go))
    const ended = workers.map((one) => new Promise((on) => one.once('exit', on)))
    for (const one of workers) one.send('go')
    await Promise.all(ended)
  } else {
    const begin = setInterval
    globalThis.setInterval = (action) => begin(action, 50)
    const { createCaches, LocMemCache } = await import('./src/index.js')
    const { RedisCache } = await import('./src/backends/redis.js')
    const { inspector } = await import('./adapters/inspector/index.js')
    const [location, keyPrefix] = args
    const shared = new RedisCache({ location, keyPrefix, options: { timeLimitMs: 10_000 } })
    const caches = createCaches({ default: new LocMemCache(), shared })
    await caches.default.set('key', 'own')
    await shared.set('key', 'shared')
    const inspected = inspector(caches, { processes: 'shared', authorize: () => true })
    const server = http.createServer(async (req, res) => {
      // The next request goes to the next worker.
      res.setHeader('Connection', 'close')
      if (req.url.startsWith('/__cache/')) {
        req.originalUrl = req.url
        req.url = req.url.slice('/__cache'.length)
        return inspected(req, res)
      }
      if (req.url === '/use') for (const one of [caches.default, shared]) await one.get('key')
      if (req.url === '/use') await shared.get('absent')
      const { default: own, shared: ours } = caches.stats().aliases
      const sum = (name) => own[name] + ours[name]
      res.end(JSON.stringify({ pid: process.pid, hits: sum('hits'), misses: sum('misses') }))
    })
    server.listen(0, '127.0.0.1')
    await new Promise((go) => process.once('message', go))
    inspected.close()
    server.close()
    await shared.clear()
    await caches.close()
  }
`

describe.skipIf(redis === undefined)('the inspector of one of several processes', () => {
  let bundle: Bundle
  let site: Worker
  let origin: string
  /** What each worker has counted, by its process. */
  const counted = new Map<number, Pick<ProcessRow, 'pid' | 'hits' | 'misses'>>()
  const requests = 12

  beforeAll(async () => {
    bundle = await bundleSources(['src', 'adapters/inspector', 'adapters/node'])
    const args = [redis?.url ?? '', `processes-${process.pid}`]
    site = await startWorker(bundle, script, { args })
    origin = `http://127.0.0.1:${String(await site.message())}`
    for (let i = 0; i < requests; i++) {
      const one = (await (await fetch(`${origin}/use`)).json()) as ProcessRow
      counted.set(one.pid, one)
    }
  })

  afterAll(async () => {
    site?.child.send('go')
    await site?.ended
    await bundle?.remove()
  })

  const figuresOf = ({ pid, hits, misses }: Pick<ProcessRow, 'pid' | 'hits' | 'misses'>) => ({
    pid,
    hits,
    misses,
  })
  const byProcess = () => [...counted.values()].map(figuresOf).sort((a, b) => a.pid - b.pid)

  it('has the figures of each worker of a cluster, whichever of them answers', async () => {
    expect(counted.size).toBe(3)
    const answered = new Set<number>()
    const read = async () => {
      const answer = await fetch(`${origin}/__cache/api/processes`)
      const { rows } = (await answer.json()) as { readonly rows: readonly ProcessRow[] }
      expect(rows.filter(({ isThis }) => isThis)).toEqual([rows[0]])
      answered.add(rows[0]?.pid ?? 0)
      return rows.map(figuresOf).sort((a, b) => a.pid - b.pid)
    }
    await expect.poll(read).toEqual(byProcess())
    for (let i = 0; i < 3; i++) expect(await read()).toEqual(byProcess())
    expect(answered.size).toBe(3)
  })

  describe.skipIf(launch === undefined)('in a browser', () => {
    let browser: Browser

    beforeAll(async () => {
      browser = await chromium.launch(launch)
    })
    afterAll(() => browser?.close())

    it('shows the sum of them beside those of each', async () => {
      const page = await browser.newPage()
      await page.goto(`${origin}/__cache/#overview`)
      const table = page.getByRole('region', { name: 'Processes, scrollable' })
      const all = table.getByRole('row').filter({ hasText: 'All 3' })
      await all.waitFor()
      const rows = await table
        .getByRole('row')
        .evaluateAll((found) =>
          found.map((row) => [...row.children].map((cell) => cell.textContent)),
        )
      const [names = [], ...lines] = rows
      expect(names).toEqual([
        'Process',
        'Hit ratio',
        'Hits',
        'Misses',
        'Errors',
        'Time saved',
        'Memory',
      ])
      const shown = lines.slice(0, -1).map(([name = '', , hits, misses]) => ({
        pid: parseInt(name, 10),
        hits: Number(hits),
        misses: Number(misses),
      }))
      expect(shown.sort((a, b) => a.pid - b.pid)).toEqual(byProcess())
      expect(lines.at(-1)?.slice(0, 5)).toEqual([
        'All 3',
        '66.7\u00a0%',
        String(2 * requests),
        String(requests),
        '0',
      ])
      const memory = lines.map((line) => parseFloat(line[6] ?? ''))
      const sum = memory.slice(0, -1).reduce((total, one) => total + one, 0)
      // Each is rounded.
      expect(Math.abs((memory.at(-1) ?? 0) - sum)).toBeLessThanOrEqual(2)
    })
  })
})
