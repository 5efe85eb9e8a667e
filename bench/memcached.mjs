/**
 * `MemcachedCache` against a bare socket that says the same in the text protocol, over one server, in
 * one run: one call at a time and fifty at a time, by the wall clock. `MEMCACHED` names a server;
 * without it one is started.
 */
import { connect } from 'node:net'
import { MemcachedCache } from '../dist/src/backends/memcached.js'
import { compareWaiting, inFlight, row } from './measure.mjs'
import { memcachedServer } from './servers.mjs'

const KEYS = Array.from({ length: 100 }, (_, i) => `key-${i}`)
const TEXT = 'x'.repeat(500)

/** What a call of ours may take of a raw one's time: 0.8 of its throughput. */
const TARGET = 1 / 0.8

/** @returns {Promise<ReturnType<typeof row>[]>} */
export async function run() {
  const server = await memcachedServer()
  const cache = new MemcachedCache({ location: server.location, keyPrefix: 'bench' })
  const raw = await RawSocket.open(server.location)
  try {
    for (const key of KEYS) {
      await cache.set(key, TEXT)
      await raw.set(`raw-${key}`, TEXT)
    }
    let i = 0
    let j = 0
    const next = () => KEYS[i++ % KEYS.length]
    const rawNext = () => `raw-${KEYS[j++ % KEYS.length]}`
    const pairs = {
      get: { raw: () => raw.get(rawNext()), ours: () => cache.get(next()) },
      set: { raw: () => raw.set(rawNext(), TEXT), ours: () => cache.set(next(), TEXT) },
    }
    const rows = []
    for (const [name, pair] of Object.entries(pairs)) {
      for (const flights of [1, 50]) {
        const { raw: base, ours } = await compareWaiting({
          raw: inFlight(flights, pair.raw),
          ours: inFlight(flights, pair.ours),
        })
        const detail = `${rate(ours.us, flights)} a second, raw ${rate(base.us, flights)}`
        const title = `memcached ${name}, ${flights} in flight / bare socket`
        rows.push(row(title, ours.ratio, TARGET, detail))
      }
    }
    const rawKeys = KEYS.map((key) => `raw-${key}`)
    const many = await compareWaiting({
      raw: () => raw.getMany(rawKeys),
      ours: () => cache.getMany(KEYS),
    })
    const detail = `${many.ours.us.toFixed(0)} µs`
    rows.push(row('memcached getMany(100) / bare socket', many.ours.ratio, TARGET, detail))
    return rows
  } finally {
    await cache.close()
    raw.close()
    server.stop()
  }
}

function rate(us, flights) {
  return `${((flights * 1000) / us).toFixed(1)} k`
}

/** As little as can be done: commands in, answers out, in order, and the text of each value. */
class RawSocket {
  #waiting = []
  #buffer = Buffer.alloc(0)

  static async open(location) {
    const [host, port] = location.split(':')
    const raw = new RawSocket()
    await new Promise((resolve) => {
      raw.socket = connect({ host, port: Number(port), noDelay: true }, resolve)
    })
    raw.socket.on('data', (chunk) => raw.#receive(chunk))
    return raw
  }

  get(key) {
    return this.#ask(`get ${key}\r\n`)
  }

  async getMany(keys) {
    return this.#ask(`get ${keys.join(' ')}\r\n`, true)
  }

  set(key, text) {
    return this.#ask(`set ${key} 0 300 ${text.length}\r\n${text}\r\n`)
  }

  #ask(command, many = false) {
    return new Promise((resolve) => {
      this.#waiting.push({ resolve, many, values: [] })
      this.socket.write(command, 'latin1')
    })
  }

  #receive(chunk) {
    const buffer = this.#buffer.length === 0 ? chunk : Buffer.concat([this.#buffer, chunk])
    let position = 0
    for (;;) {
      const end = buffer.indexOf('\r\n', position)
      if (end === -1) break
      const line = buffer.toString('latin1', position, end)
      const first = this.#waiting[0]
      if (line.startsWith('VALUE')) {
        const length = Number(line.split(' ')[3])
        if (buffer.length < end + 4 + length) break
        first.values.push(buffer.toString('utf8', end + 2, end + 2 + length))
        position = end + 4 + length
        continue
      }
      this.#waiting.shift()
      first.resolve(first.many ? first.values : first.values[0])
      position = end + 2
    }
    this.#buffer = buffer.subarray(position)
  }

  close() {
    this.socket.destroy()
  }
}
