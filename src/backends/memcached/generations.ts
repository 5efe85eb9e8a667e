import { createHash, randomInt } from 'node:crypto'

/*
 * Memcached cannot list keys, so that `clear` cannot remove what belongs to one cache. Instead every
 * entry is stamped with the generation of its namespace, and `clear` moves the namespace to the next.
 * The generations of all namespaces of a server are one entry on that server, which is read in the
 * same write to the socket as the entries themselves. One, so that no namespace can lose its
 * generation while another keeps what was written in it: if the record is evicted, all its entries are
 * gone.
 */

/** The key of the record. No default key function can make it of a caller's key. */
export const GENERATIONS_KEY = 'fragcache:generations'

/**
 * Maximum number of distinct namespaces. With more, all start again: their entries become misses.
 */
const MAX_NAMESPACES = 256

/** Of a generation every stamp has at least the remainder by this: 12 bits. */
const STAMPED = 4096

/** The generations on one server. */
export interface Generations {
  /** Of every namespace that was not cleared since the record began. */
  readonly base: number
  /** By namespace. */
  readonly cleared: ReadonlyMap<string, number>
  /** The record as it is stored. */
  readonly text: string
  readonly bytes: Buffer
}

/** The short name under which the record knows the entries of a key prefix. */
export function namespaceOf(...parts: readonly string[]): string {
  const hash = createHash('md5')
  for (const part of parts) hash.update(`${Buffer.byteLength(part)}:`).update(part)
  return hash.digest('base64url').slice(0, 12)
}

export function generationIn({ base, cleared }: Generations, namespace: string): number {
  return cleared.get(namespace) ?? base
}

/** @returns `undefined`: it is no record. */
export function parseGenerations(text: string): Generations | undefined {
  const match = /^1 (\d{1,15})((?: [\w-]{12}=\d{1,15})*)$/.exec(text)
  if (match === null) return undefined
  const cleared = new Map<string, number>()
  for (const part of match[2]?.split(' ').slice(1) ?? []) {
    cleared.set(part.slice(0, 12), Number(part.slice(13)))
  }
  return { base: Number(match[1]), cleared, text, bytes: Buffer.from(text) }
}

/**
 * The first record of a server, after one that was lost, if it is known.
 *
 * @remarks What is known may be old: others may have cleared often since, and the numbers right after
 *   it are those of what they cleared. Hence a random one, of which only that much is sure: entries of
 *   the generations in `lost` are misses, also after the clear that may be why it is made.
 */
export function newGenerations(lost: Generations | undefined): Generations {
  const known = lost === undefined ? [] : [lost.base, ...lost.cleared.values()]
  const avoided = new Set(known.map((generation) => generation % STAMPED))
  let base: number
  do base = randomInt(1, 2 ** 31)
  while (avoided.has(base % STAMPED) || avoided.has((base + 1) % STAMPED))
  return format(base, new Map())
}

/** The record once some namespaces are cleared. */
export function advance(record: Generations, namespaces: readonly string[]): Generations {
  const cleared = new Map(record.cleared)
  for (const namespace of namespaces) {
    cleared.set(namespace, generationIn(record, namespace) + 1)
  }
  // This record is not lost but the server's own, so that none of its names is ahead of the next.
  return cleared.size > MAX_NAMESPACES
    ? format(latest(record) + 1, new Map())
    : format(record.base, cleared)
}

function latest({ base, cleared }: Generations): number {
  return Math.max(base, ...cleared.values())
}

function format(base: number, cleared: ReadonlyMap<string, number>): Generations {
  const parts = [...cleared].map(([namespace, generation]) => ` ${namespace}=${generation}`)
  const text = `1 ${base}${parts.join('')}`
  return { base, cleared, text, bytes: Buffer.from(text) }
}
