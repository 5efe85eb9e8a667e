/**
 * Up to so many keys are in one `Map`. One that outgrows its room copies all it holds in one go,
 * which at a million takes a tenth of a second.
 */
const MOST_IN_ONE = 2048

/** Maps that more keys are spread over. A power of two. */
const SHARDS = 256

/** A `Map` by text which no single change holds up, however much is in it. */
export class KeyTable<V> {
  readonly #first = new Map<string, V>()
  #shards: readonly Map<string, V>[] | undefined

  get(key: string): V | undefined {
    return this.#mapOf(key).get(key)
  }

  set(key: string, value: V): void {
    this.#mapOf(key).set(key, value)
    if (this.#shards === undefined && this.#first.size > MOST_IN_ONE) this.#spread()
  }

  delete(key: string): void {
    this.#mapOf(key).delete(key)
  }

  /** All keys, in parts: each is as it was when it was asked for. */
  *parts(): Generator<readonly string[]> {
    for (const map of this.#shards ?? [this.#first]) yield [...map.keys()]
  }

  #mapOf(key: string): Map<string, V> {
    if (this.#shards === undefined) return this.#first
    return this.#shards[shardOf(key)] as Map<string, V>
  }

  #spread(): void {
    const shards = Array.from({ length: SHARDS }, () => new Map<string, V>())
    for (const [key, value] of this.#first) shards[shardOf(key)]?.set(key, value)
    this.#first.clear()
    this.#shards = shards
  }
}

/** Looks at no more than 32 characters, so that long keys cost no more. */
function shardOf(key: string): number {
  const step = 1 + (key.length >> 5)
  let hash = key.length
  for (let i = key.length - 1; i >= 0; i -= step) {
    hash = Math.imul(hash ^ key.charCodeAt(i), 0x01000193)
  }
  return (hash ^ (hash >>> 8) ^ (hash >>> 16)) & (SHARDS - 1)
}
