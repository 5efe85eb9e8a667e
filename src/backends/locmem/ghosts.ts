/** Places that a key may be remembered in. */
const WAYS = 16

const MIN_BUCKETS = 4

/** Of more keys than fit, those that left first are forgotten early. */
const MAX_BUCKETS = 2 ** 20

/** After these it begins again: they are numbers of 32 bits. */
const MOST_MOMENTS = 2 ** 31 - 1

/** Moments that one call passes at most: of more, the rest is passed by the next ones. */
const MOST_STEPS = 1000

/**
 * Remembers which keys left lately, at 15 to 30 bytes for each, whatever their lengths.
 *
 * A key is known by 32 bits of a hash, in one of the places that the hash allows, with the moment at
 * which it left: how many had left by then. So one in a few million may be taken for another, and a few
 * are forgotten early. Nothing depends on it but how long an entry stays.
 */
export class Ghosts {
  /** Pairs of a hash, 0 for none, and its moment. */
  #places: Int32Array = NOWHERE
  /** By moment, in a circle: whether the key that left then is remembered. */
  #isRemembered: Uint8Array = new Uint8Array(1)
  #count = 0
  #now = 0
  /** What left before is forgotten. */
  #oldest = 1

  /**
   * Notes that a key left.
   *
   * @param most - How many are to be remembered.
   */
  note(key: string, most: number): void {
    if (this.#places.length < 3 * most || this.#now === MOST_MOMENTS) this.#grow(most)
    const places = this.#places
    const hash = hashOf(key)
    let chosen = this.#bucketOf(hash)
    let longest = -1
    for (let at = chosen, end = at + 2 * WAYS; at < end; at += 2) {
      const found = places[at] as number
      const age = found === 0 || found === hash ? Infinity : this.#now - (places[at + 1] as number)
      if (age <= longest) continue
      longest = age
      chosen = at
    }
    if (places[chosen] !== 0) this.#forget(places[chosen + 1] as number)
    const moment = ++this.#now
    places[chosen] = hash
    places[chosen + 1] = moment
    this.#isRemembered[moment & (this.#isRemembered.length - 1)] = 1
    this.#count++
    this.#forgetOldest(most)
  }

  /** Whether a key is remembered. After this it is not. */
  take(key: string): boolean {
    if (this.#count === 0) return false
    const places = this.#places
    const hash = hashOf(key)
    for (let at = this.#bucketOf(hash), end = at + 2 * WAYS; at < end; at += 2) {
      if (places[at] !== hash) continue
      places[at] = 0
      return this.#forget(places[at + 1] as number)
    }
    return false
  }

  /** @returns Whether what left at that moment was remembered. */
  #forget(moment: number): boolean {
    if (moment < this.#oldest) return false
    this.#isRemembered[moment & (this.#isRemembered.length - 1)] = 0
    this.#count--
    return true
  }

  #forgetOldest(most: number): void {
    const all = this.#isRemembered
    for (let i = 0; i < MOST_STEPS; i++) {
      if (this.#count <= most && this.#now - this.#oldest < all.length - 1) return
      const at = this.#oldest++ & (all.length - 1)
      this.#count -= all[at] as number
      all[at] = 0
    }
  }

  /** Memory is taken once something leaves, for as many as there are then; what was known is forgotten. */
  #grow(most: number): void {
    const wanted = Math.min(Math.max((1.5 * most) / WAYS, MIN_BUCKETS), MAX_BUCKETS)
    const length = 2 * WAYS * 2 ** Math.ceil(Math.log2(wanted))
    if (this.#now < MOST_MOMENTS && this.#places.length >= length) return
    this.#places = new Int32Array(length)
    this.#isRemembered = new Uint8Array(length)
    this.#count = 0
    this.#now = 0
    this.#oldest = 1
  }

  #bucketOf(hash: number): number {
    return (hash & (this.#places.length / (2 * WAYS) - 1)) * 2 * WAYS
  }
}

const NOWHERE = new Int32Array(0)

/** A number other than 0. Looks at no more than 256 characters, so that long keys cost no more. */
function hashOf(key: string): number {
  const { length } = key
  const step = 1 + (length >> 8)
  let hash = length
  for (let i = length - 1; i >= 0; i -= step) hash = Math.imul(hash ^ key.charCodeAt(i), 0x01000193)
  hash = Math.imul(hash ^ (hash >>> 15), 0x2c1b3c6d)
  hash ^= hash >>> 13
  return hash === 0 ? 1 : hash
}
