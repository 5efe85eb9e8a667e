/** Point 10: an answer that comes twice is given to nobody else. */
import { connect, createServer } from 'node:net'
import { MemcachedCache } from '../product.mjs'

const KEYS = 20

/** A network between a client and a server; told so, it repeats the first value of each delivery. */
async function startProxy(location) {
  const [host, port] = location.split(':')
  let repeats = false
  const server = createServer((client) => {
    const upstream = connect(Number(port), host)
    const end = () => {
      client.destroy()
      upstream.destroy()
    }
    for (const socket of [client, upstream]) socket.on('error', end).on('close', end)
    client.pipe(upstream)
    upstream.on('data', (bytes) => {
      client.write(repeats ? Buffer.concat([firstValue(bytes), bytes]) : bytes)
    })
  })
  await new Promise((listening) => server.listen(0, '127.0.0.1', listening))
  return {
    location: `127.0.0.1:${server.address().port}`,
    repeat: () => {
      repeats = true
    },
    close: () => server.close(),
  }
}

/** @returns Of `VA <size> <flags>\r\n<data>\r\n…`; nothing where another answer is the first. */
function firstValue(bytes) {
  const [head, size] = /^VA (\d+)\b[^\r]*\r\n/.exec(bytes.toString('latin1')) ?? []
  return head === undefined ? Buffer.alloc(0) : bytes.subarray(0, head.length + Number(size) + 2)
}

/** A client closes the connection for this. A read that was lost with it was given nothing of another key. */
async function look(cache, name) {
  const own = { entry: name, numbers: {} }
  try {
    return (await cache.get(name)) ?? own
  } catch (error) {
    if (!error.message.includes('unexpected answer')) throw error
    return own
  }
}

export const scenarios = {
  'duplicated-answer': {
    point: 10,
    only: 'memcached',
    name: 'an answer that comes twice is taken for the value of no other key',
    roles: {
      async a({ world, spec, thing }) {
        const proxy = await startProxy(spec.location)
        const { location } = proxy
        const options = { poolSize: 1, timeLimitMs: 10_000 }
        const cache = new MemcachedCache({ location, keyPrefix: thing, options })
        const keys = Array.from({ length: KEYS }, (_, i) => `value-${i}-of-${thing}`)
        for (const name of keys) await cache.set(name, { entry: name, numbers: {} })
        proxy.repeat()
        await Promise.all(
          keys.map((name) => world.read({ name, handles: {}, look: () => look(cache, name) })),
        )
        await cache.close()
        proxy.close()
      },
      async b() {},
    },
  },
}
