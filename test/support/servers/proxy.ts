import { connect, createServer, type AddressInfo, type Socket } from 'node:net'

/** The network between a client and a server, with its faults. */
export interface Proxy {
  readonly port: number
  /** Milliseconds by which what the server answers comes later. */
  delayMs: number
  /** Connections that are open. */
  readonly connections: number
  /** Ends all connections, and refuses new ones. */
  cut(): void
  /** Takes connections and bytes, and passes nothing on, as a network that drops packets. */
  silence(): void
  /** Ends the fault; what was held back by `silence` is passed on, as by retransmission. */
  restore(): Promise<void>
  close(): Promise<void>
}

/** Starts a proxy in front of a server: a port of 127.0.0.1 or the path of a socket. */
export async function startProxy(to: { port: number } | { path: string }): Promise<Proxy> {
  const pairs = new Set<readonly [Socket, Socket]>()
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
    upstream.on('data', (bytes) => {
      if (proxy.delayMs === 0) client.write(bytes)
      else setTimeout(() => client.destroyed || client.write(bytes), proxy.delayMs)
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
