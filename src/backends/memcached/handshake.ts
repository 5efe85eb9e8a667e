import { BinaryProtocol } from './binary.js'
import type { ConnectionSettings } from './connection.js'
import { GENERATIONS_KEY } from './generations.js'
import { VALUE } from './request.js'
import { ClassicDialect, MetaDialect, TextProtocol } from './text.js'

/** Which commands are spoken. */
export type Speech = 'auto' | 'meta' | 'classic' | 'binary'

export interface Credentials {
  readonly username: string
  readonly password: string
}

/** Before it, the answer to a read that finds nothing does not say which read it answers. */
const META_SINCE = [1, 6, 18] as const

/** How a connection finds out what the server speaks; commands wait until it knows. */
export function handshakeFor(
  speech: Speech,
  credentials: Credentials | undefined,
): ConnectionSettings['handshake'] {
  if (speech === 'binary' || credentials !== undefined) {
    return (connection, ready) => {
      const done = (error: Error | undefined) => {
        if (error === undefined) ready()
        else connection.destroy(error)
      }
      const first =
        credentials === undefined
          ? ({ type: 'version', done } as const)
          : ({ type: 'auth', ...credentials, done } as const)
      queueMicrotask(() => {
        connection.sendFirst(first)
      })
      return new BinaryProtocol()
    }
  }
  if (speech !== 'auto') {
    return (connection, ready) => {
      // A proxy may know no `version`, and end the connection that asks for it.
      queueMicrotask(() => {
        connection.sendFirst({
          type: 'get',
          key: GENERATIONS_KEY,
          wish: VALUE,
          done: (error) => {
            if (error === undefined) ready()
            else connection.destroy(error)
          },
        })
      })
      return new TextProtocol(speech === 'meta' ? new MetaDialect() : new ClassicDialect())
    }
  }
  return (connection, ready) => {
    const protocol = new TextProtocol(new ClassicDialect())
    const done = (error: Error | undefined, version: string | undefined) => {
      if (connection.isClosed) return
      // What knows no versions knows the old commands.
      if (error === undefined && hasMeta(version)) protocol.use(new MetaDialect())
      ready()
    }
    queueMicrotask(() => {
      connection.sendFirst({ type: 'version', done })
    })
    return protocol
  }
}

function hasMeta(version = ''): boolean {
  const match = /^VERSION (\d+)\.(\d+)\.(\d+)/.exec(version)
  if (match === null) return false
  const numbers = match.slice(1).map(Number)
  for (const [i, least] of META_SINCE.entries()) {
    const number = numbers[i] ?? 0
    if (number !== least) return number > least
  }
  return true
}
