import { connect, createServer, type AddressInfo, type Socket } from 'node:net'

/** The network between a client and a server, with its faults. */
export interface Proxy {
  readonly port: number
  /** Milliseconds by which what the server answers comes later. */
  delayMs: number
  /** Passes something else on than what the server answers, chunk by chunk of what it sends. */
  tamper: ((answers: Buffer) => Buffer) | undefined
  /** Connections that are open. */
  readonly connections: number
  /** Ends all connections, and refuses new ones. */
  cut(): void
  /** Takes connections and bytes, and passes nothing on, as a network that drops packets. */
  silence(): void
  /** Ends the fault; what was held back is passed on, as by retransmission. */
  restore(): Promise<void>
  close(): Promise<void>
}

/** Starts a proxy in front of a server: a port of 127.0.0.1 or the path of a socket. */
export async function startProxy(to: { port: number } | { path: string }): Promise<Proxy> {
  const pairs = new Set<readonly [Socket, Socket]>()
  /** Passes on what is late. */
  const held = new WeakMap<readonly [Socket, Socket], () => void>()
  let silent = false
  let port = 0

  const server = createServer({ noDelay: true }, (client) => {
    const upstream = connect('port' in to ? { ...to, host: '127.0.0.1' } : to)
    upstream.setNoDelay(true)
    const pair = [client, upstream] as const
    pairs.add(pair)
    const end = () => {
      pairs.delete(pair)
      client.destroy()
      upstream.destroy()
    }
    for (const socket of pair) socket.on('error', end).on('close', end)
    client.on('data', (bytes) => upstream.write(bytes))
    const late: Buffer[] = []
    const passOn = (count: number) => {
      for (const bytes of late.splice(0, count)) if (!client.destroyed) client.write(bytes)
    }
    held.set(pair, () => passOn(late.length))
    upstream.on('data', (sent: Buffer) => {
      const bytes = proxy.tamper?.(sent) ?? sent
      // What comes later must not overtake what is still held back.
      if (proxy.delayMs === 0 && late.length === 0) {
        client.write(bytes)
        return
      }
      late.push(bytes)
      setTimeout(() => passOn(late.indexOf(bytes) + 1), proxy.delayMs)
    })
    if (silent) for (const socket of pair) socket.pause()
  })
  const listen = () =>
    new Promise<void>((listening, refused) => {
      server.once('error', refused)
      server.listen(port, '127.0.0.1', listening)
    })
  const destroyAll = () => {
    for (const [client, upstream] of pairs) {
      client.resetAndDestroy()
      upstream.destroy()
    }
  }
  const proxy: Proxy = {
    get port() {
      return port
    },
    delayMs: 0,
    tamper: undefined,
    get connections() {
      return pairs.size
    },
    cut: () => {
      server.close()
      destroyAll()
    },
    silence: () => {
      silent = true
      for (const pair of pairs) for (const socket of pair) socket.pause()
    },
    restore: async () => {
      silent = false
      proxy.delayMs = 0
      for (const pair of pairs) held.get(pair)?.()
      if (!server.listening) await listen()
      for (const pair of pairs) for (const socket of pair) socket.resume()
    },
    close: async () => {
      destroyAll()
      if (server.listening) await new Promise((closed) => server.close(closed))
    },
  }
  await listen()
  port = (server.address() as AddressInfo).port
  return proxy
}
