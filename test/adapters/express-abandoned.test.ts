import { LocMemCache, type Cache } from 'fragcache'
import { describe, expect, it, onTestFinished, vi } from 'vitest'
import type { WriteEntry, WriteOutcome } from '../../src/index.js'
import { AsyncTestCache } from '../support/async-cache.js'
import {
  cachedSite,
  watchOutcomes,
  type CachedSiteOptions,
  type View,
} from '../support/cached-site.js'
import {
  eventually,
  expressVersions,
  type Answer,
  type RequestOptions,
} from '../support/express.js'
import { gate, settle } from '../support/waiting.js'

const backends: [string, () => Cache][] = [
  ['LocMemCache', () => new LocMemCache()],
  ['a cache that answers late', () => new AsyncTestCache()],
]

/** Longer than a test may take: whoever waits for so long fails it. */
const FOR_EVER = 180

/** Reads, but does not always write. */
class Unwilling extends AsyncTestCache {
  failsToWrite = false

  override writeEntries(entries: readonly WriteEntry<Uint8Array>[]): Promise<WriteOutcome[]> {
    if (this.failsToWrite) return Promise.reject(new Error('the test store is read only'))
    return super.writeEntries(entries)
  }
}

const { setTimeout: realTimeout } = globalThis

/** As `eventually`, also where timers are faked. */
async function reallyEventually(holds: () => boolean): Promise<void> {
  for (let i = 0; i < 200 && !holds(); i++) await new Promise((turn) => realTimeout(turn, 5))
  if (!holds()) throw new Error('it did not happen within a second')
}

describe.each(expressVersions)('in $version', ({ express }) => {
  /** A site that tells when requests have come, and when their clients have gone. */
  async function watchedSite(view: View, { before = [], ...options }: CachedSiteOptions = {}) {
    let arrivals = 0
    let closed = 0
    const watch: View = (_req, res, next) => {
      arrivals++
      res.on('close', () => closed++)
      next()
    }
    const made = await cachedSite(express, view, {
      waitSeconds: FOR_EVER,
      ...options,
      before: [watch, ...before],
    })
    return {
      ...made,
      outcomes: watchOutcomes(made.site.origin),
      async arrived(requests: number) {
        await reallyEventually(() => arrivals >= requests)
        await settle()
      },
      /** Asks; the result makes the client go away, and waits until the server knows. */
      send(options?: RequestOptions): () => Promise<void> {
        const request = made.site.request('/p', options)
        request.on('error', () => undefined)
        request.end()
        return async () => {
          const before = closed
          request.destroy()
          await eventually(() => closed > before)
        }
      },
    }
  }

  function tally(answers: readonly Answer[]): Record<string, number> {
    const counts: Record<string, number> = {}
    for (const { text } of answers) counts[text] = (counts[text] ?? 0) + 1
    return counts
  }

  describe('a client that goes away', () => {
    it('before the cache is asked holds up nobody', async () => {
      const reached = gate()
      const ready = gate()
      let isFirst = true
      const { site, runs, send } = await watchedSite((_req, res) => res.send(`run ${runs.count}`), {
        before: [
          async (_req, _res, next) => {
            if (isFirst) {
              isFirst = false
              reached.open()
              await ready.opened
            }
            next()
          },
        ],
      })
      const goAway = send()
      await reached.opened
      await goAway()
      ready.open()
      await eventually(() => runs.count === 1)
      expect((await site.get('/p')).text).toBe('run 2')
      expect((await site.get('/p')).text).toBe('run 2')
    })

    it('while the cache is asked holds up nobody', async () => {
      const cache = new AsyncTestCache()
      const { site, runs, send } = await watchedSite((_req, res) => res.send(`run ${runs.count}`), {
        cache,
      })
      cache.hanging = true
      const goAway = send()
      await eventually(() => cache.reads > 0)
      await goAway()
      cache.hanging = false
      await eventually(() => runs.count === 1)
      expect((await site.get('/p')).text).toBe('run 2')
    })

    it.each(backends)('while its view runs: one other takes its place: %s', async (_name, make) => {
      const [first, second] = [gate(), gate()]
      const { site, runs, send, arrived } = await watchedSite(
        async (_req, res) => {
          const run = runs.count
          await (run === 1 ? first : second).opened
          res.send(`run ${run}`)
        },
        { cache: make() },
      )
      const goAway = send()
      await eventually(() => runs.count === 1)
      const asked = Array.from({ length: 10 }, () => site.get('/p'))
      await arrived(11)
      await goAway()
      await eventually(() => runs.count > 1)
      await settle()
      second.open()
      expect(tally(await Promise.all(asked))).toEqual({ 'run 2': 10 })
      expect(runs.count).toBe(2)
      first.open()
      await settle()
      expect((await site.get('/p')).text).toBe('run 2')
    })

    it('in the middle of the answer: one other takes its place', async () => {
      const { site, runs, send, arrived } = await watchedSite((_req, res) => {
        const run = runs.count
        res.write(`run ${run}`)
        if (run > 1) res.end()
      })
      const goAway = send()
      await eventually(() => runs.count === 1)
      const asked = Array.from({ length: 10 }, () => site.get('/p'))
      await arrived(11)
      await goAway()
      expect(tally(await Promise.all(asked))).toEqual({ 'run 2': 10 })
      expect(runs.count).toBe(2)
    })

    it('one after the other: each time one other takes its place', async () => {
      const last = gate()
      const { site, runs, send, arrived } = await watchedSite(async (_req, res) => {
        const run = runs.count
        if (run === 3) await last.opened
        // The others' clients do not wait for the end.
        if (run >= 3) res.send(`run ${run}`)
      })
      const leave = [send()]
      await eventually(() => runs.count === 1)
      leave.push(send())
      await arrived(2)
      const asked = Array.from({ length: 5 }, () => site.get('/p'))
      await arrived(7)
      for (const [i, goAway] of leave.entries()) {
        await goAway()
        await eventually(() => runs.count === i + 2)
        await settle()
      }
      last.open()
      expect(tally(await Promise.all(asked))).toEqual({ 'run 3': 5 })
      expect(runs.count).toBe(3)
    })

    it('does not make those wait whose page is known to be for one visitor', async () => {
      const { site, runs, send } = await watchedSite((req, res) => {
        // Odd requests get no answer at all.
        if (req.headers['x-odd'] === undefined) res.set('Cache-Control', 'private').send('mine')
      })
      expect((await site.get('/p')).text).toBe('mine')
      for (let i = 0; i < 3; i++) {
        const goAway = send({ headers: { 'X-Odd': '1' } })
        await eventually(() => runs.count === 2 + 2 * i)
        expect((await site.get('/p')).text).toBe('mine')
        await goAway()
      }
    })
  })

  it('an answer that goes on for longer than anybody waits makes nobody wait again', async () => {
    vi.useFakeTimers({ toFake: ['setTimeout', 'clearTimeout'] })
    onTestFinished(() => void vi.useRealTimers())
    const ends = gate()
    const { site, runs, arrived } = await watchedSite(async (_req, res) => {
      res.write('line\n')
      await ends.opened
      res.end()
    })
    const first = [site.get('/p'), site.get('/p')]
    await arrived(2)
    expect(runs.count).toBe(1)
    await vi.advanceTimersByTimeAsync(FOR_EVER * 1000)
    await reallyEventually(() => runs.count === 2)
    // From here on the time stands still.
    const later = Array.from({ length: 5 }, () => site.get('/p'))
    await reallyEventually(() => runs.count === 7)
    ends.open()
    for (const { text } of await Promise.all([...first, ...later])) expect(text).toBe('line\n')
  })

  it.each<[string, (cache: Unwilling) => void]>([
    ['is too large for the cache', (cache) => (cache.maxPayloadBytes = 10_000)],
    ['the cache fails to store', (cache) => (cache.failsToWrite = true)],
  ])('a page that %s makes nobody wait again', async (_name, refuse) => {
    const ready = gate()
    const cache = new Unwilling()
    refuse(cache)
    const { site, runs, outcomes } = await watchedSite(
      async (_req, res) => {
        if (runs.count > 1) await ready.opened
        res.send('long '.repeat(4000))
      },
      { cache },
    )
    await site.get('/p')
    await eventually(() => outcomes.length === 1)
    const asked = Array.from({ length: 5 }, () => site.get('/p'))
    await eventually(() => runs.count === 6)
    ready.open()
    for (const { body } of await Promise.all(asked)) expect(body).toHaveLength(20_000)
  })
})
