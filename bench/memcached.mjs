/**
 * `MemcachedCache` against a bare socket that has the same exchange with the server, in one run: one
 * call at a time and fifty at a time, by the wall clock. By default every command goes together with
 * one for the record of generations; with `flushOnClear` there is none. `MEMCACHED` names a server;
 * without it one is started.
 */
import { MemcachedCache } from '../dist/src/backends/memcached.js'
import { compareWaiting, goal, inFlight, row } from './measure.mjs'
import { RawSocket } from './raw-memcached.mjs'
import { openOrFail } from './servers.mjs'

const KEYS = Array.from({ length: 100 }, (_, i) => `key-${i}`)
const TEXT = 'x'.repeat(500)

/** What a call of ours may take of a raw one's time: 0.8 of its throughput. */
const TARGET = 1 / 0.8

/** The same of one call at a time. */
const SINGLE_TARGET = 1.15

const RECORD = 'mg fragcache:generations f v\r\n'

/** @returns {Promise<ReturnType<typeof row>[]>} */
export async function run() {
  const server = await openOrFail('memcached')
  const raw = await RawSocket.open(server.url)
  try {
    return [
      ...(await against(raw, RECORD, 'memcached', { location: server.url })),
      ...(await against(raw, '', 'memcached with flushOnClear', {
        location: server.url,
        options: { flushOnClear: true },
      })),
    ]
  } finally {
    raw.close()
    server.stop()
  }
}

/** @param record - What is asked beside every command. */
async function against(raw, record, name, settings) {
  const cache = new MemcachedCache(settings)
  const replies = record === '' ? 1 : 2
  for (const key of KEYS) {
    await cache.set(key, TEXT)
    await raw.ask(`ms raw-${key} ${TEXT.length} F0 T300\r\n${TEXT}\r\n`, 1)
  }
  let i = 0
  let j = 0
  const next = () => KEYS[i++ % KEYS.length]
  const rawNext = () => `raw-${KEYS[j++ % KEYS.length]}`
  const calls = {
    get: {
      raw: () => raw.ask(`${record}mg ${rawNext()} f v\r\n`, replies),
      ours: () => cache.get(next()),
    },
    set: {
      raw: () => raw.ask(`${record}ms ${rawNext()} ${TEXT.length} F0 T300\r\n${TEXT}\r\n`, replies),
      ours: () => cache.set(next(), TEXT),
    },
    add: {
      raw: () =>
        raw.ask(
          `${record}ms raw-new-${replies}-${j++} ${TEXT.length} F0 T300 ME\r\n${TEXT}\r\n`,
          replies,
        ),
      // Keys of its own: what the other kind has added would be in its way.
      ours: () => cache.add(`new-${replies}-${i++}`, TEXT),
    },
  }
  const rows = []
  for (const [call, pair] of Object.entries(calls)) {
    for (const flights of [1, 50]) {
      const { raw: base, ours } = await compareWaiting({
        raw: inFlight(flights, pair.raw),
        ours: inFlight(flights, pair.ours),
      })
      const detail = `${rate(ours.us, flights)} a second, raw ${rate(base.us, flights)}`
      const title = `${name} ${call}, ${flights} in flight / bare socket`
      const ofProcessor = `${detail}, by processor time ${ours.processor.ratio.toFixed(2)}`
      if (flights === 1) rows.push(goal('4', title, ours, SINGLE_TARGET, ofProcessor))
      else rows.push(row(title, ours.ratio, TARGET, detail))
    }
  }
  const gets = record + KEYS.map((key) => `mg raw-${key} f v\r\n`).join('')
  const many = await compareWaiting({
    raw: () => raw.ask(gets, replies + KEYS.length - 1),
    ours: () => cache.getMany(KEYS),
  })
  const detail = `${many.ours.us.toFixed(0)} µs, raw ${many.raw.us.toFixed(0)} µs`
  rows.push(row(`${name} getMany(100) / bare socket`, many.ours.ratio, undefined, detail))
  await cache.close()
  return rows
}

function rate(us, flights) {
  return `${((flights * 1000) / us).toFixed(1)} k`
}
