import type { Connection, ConnectionSettings } from './connection.js'
import { namespaceOf } from './generations.js'
import type { ServerLocation } from './location.js'
import { Ring } from './ring.js'
import { Server } from './server.js'
import { clearNamespaces } from './records.js'

/** Where a key lives at the moment. */
export interface Spot {
  readonly server: Server
  /** Whose entries it is one of, for the server's record of generations. */
  readonly namespace: string
}

export interface ServersSettings {
  readonly locations: readonly ServerLocation[]
  /** In the order of the locations. */
  readonly weights: readonly number[]
  readonly keyPrefix: string
  readonly poolSize: number
  /** Keys of a server that is down live on the next one. */
  readonly failover: boolean
  readonly timeLimitMs: number
  readonly handshake: ConnectionSettings['handshake']
}

/**
 * The servers of a cache as one ring.
 *
 * What another server keeps while a key's own is down belongs to a namespace of its own. So both can
 * be made misses when the server is back: what it still has from before, which may have changed
 * since, and what the others have, which would be outdated at its next failure.
 */
export class Servers {
  readonly all: readonly Server[]
  readonly #ring: Ring | undefined
  readonly #own: string
  /** Of the keys of each server, while they live there. */
  readonly #spots: readonly Spot[]
  /** By server: of its keys when they live elsewhere. */
  readonly #guests: readonly string[]
  readonly #isOut: ((server: number) => boolean) | undefined

  constructor(settings: ServersSettings) {
    const { locations, weights, keyPrefix, poolSize, failover, timeLimitMs, handshake } = settings
    this.#own = namespaceOf(keyPrefix)
    this.#guests = locations.map(({ ringName }) => namespaceOf(keyPrefix, ringName))
    this.all = locations.map((location, i) => {
      const returned = failover
        ? async (connection: Connection) => {
            const server = this.all[i]
            if (server !== undefined) await this.#beforeReturn(server, i, connection)
          }
        : undefined
      return new Server({ location, timeLimitMs, handshake }, poolSize, returned)
    })
    this.#spots = this.all.map((server) => ({ server, namespace: this.#own }))
    if (locations.length === 1) return
    this.#ring = new Ring(
      locations.map(({ ringName }, i) => ({ ringName, weight: weights[i] ?? 1 })),
    )
    if (failover) this.#isOut = (i) => this.all[i]?.isDown === true
  }

  find(storedKey: string): Spot {
    const ring = this.#ring
    const own = ring === undefined ? 0 : ring.find(storedKey)
    const spot = this.#spots[own] as Spot
    if (ring === undefined || this.#isOut?.(own) !== true) return spot
    const place = ring.find(storedKey, this.#isOut)
    if (place === own) return spot
    return { server: this.all[place] as Server, namespace: this.#guests[own] as string }
  }

  /** Where `clear` has to clear what. */
  cleared(): { readonly server: Server; readonly namespaces: readonly string[] }[] {
    const isOut = this.#isOut
    const present = this.all.filter((server) => isOut === undefined || !server.isDown)
    // With none there is nothing to be cleared, and that is a failure.
    const servers = present.length === 0 ? this.all : present
    const guests = isOut === undefined ? [] : this.#guests
    return servers.map((server) => ({ server, namespaces: [this.#own, ...guests] }))
  }

  async #beforeReturn(server: Server, place: number, connection: Connection): Promise<void> {
    server.record = await clearNamespaces(connection, server.record, [this.#own, ...this.#guests])
    const guest = this.#guests[place] ?? ''
    const others = this.all.filter((other) => other !== server && !other.isDown)
    await Promise.all(
      others.map(async (other) => {
        other.record = await clearNamespaces(other.acquire(), other.record, [guest])
      }),
    )
  }

  async close(): Promise<void> {
    await Promise.all(this.all.map((server) => server.close()))
  }
}
