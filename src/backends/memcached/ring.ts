import { createHash } from 'node:crypto'

/** A server's place on the ring. */
export interface RingMember {
  readonly ringName: string
  /** Its share of the keys beside the others. */
  readonly weight: number
}

const POINTS_PER_SERVER = 160
const POINTS_PER_HASH = 4

/**
 * Spreads keys over servers so that a server more or less moves only its share of them. Equal to
 * libmemcached's weighted Ketama, point by point: clients in other languages find the same server.
 */
export class Ring {
  /** Sorted; the server of a point is at the same index. */
  readonly #points: Uint32Array
  readonly #servers: Uint32Array

  constructor(members: readonly RingMember[]) {
    const total = members.reduce((sum, { weight }) => sum + weight, 0)
    const points = members.flatMap(({ ringName, weight }, server) => {
      // In single precision, as libmemcached computes it: another rounding is another ring.
      const share = Math.fround(Math.fround(weight) / Math.fround(total))
      const perHash = Math.fround((share * POINTS_PER_SERVER) / POINTS_PER_HASH)
      const hashes = Math.floor(Math.fround(perHash * members.length) + 1e-10)
      return Array.from({ length: hashes }, (_, i) => md5(`${ringName}-${i}`)).flatMap((digest) =>
        [0, 4, 8, 12].map((offset) => ({ point: digest.readUInt32LE(offset), server })),
      )
    })
    points.sort((a, b) => a.point - b.point)
    this.#points = Uint32Array.from(points, ({ point }) => point)
    this.#servers = Uint32Array.from(points, ({ server }) => server)
  }

  /**
   * The server of a key.
   *
   * @param isOut - Servers to pass over; left out: none.
   * @returns Its index; that of the key's own server if all are out.
   */
  find(key: string, isOut?: (server: number) => boolean): number {
    const points = this.#points
    const hash = md5(key).readUInt32LE(0)
    let low = 0
    let high = points.length
    while (low < high) {
      const middle = (low + high) >>> 1
      if ((points[middle] ?? 0) < hash) low = middle + 1
      else high = middle
    }
    const start = low === points.length ? 0 : low
    const own = this.#servers[start] ?? 0
    if (isOut?.(own) !== true) return own
    for (let i = 1; i < points.length; i++) {
      const server = this.#servers[(start + i) % points.length] ?? 0
      if (!isOut(server)) return server
    }
    return own
  }
}

function md5(text: string): Buffer {
  return createHash('md5').update(text).digest()
}
