const BITS = 2048

/**
 * About how many different texts were seen, in 256 bytes: within a few per cent up to some thousands, and
 * no more than about 15 000.
 *
 * @see K.-Y. Whang and others, "A linear-time probabilistic counting algorithm for database
 *   applications", 1990
 */
export class Distinct {
  #bits: Uint8Array | undefined

  add(text: string): void {
    const bits = (this.#bits ??= new Uint8Array(BITS / 8))
    const bit = hash(text) % BITS
    bits[bit >> 3] = (bits[bit >> 3] as number) | (1 << (bit & 7))
  }

  get estimate(): number {
    if (this.#bits === undefined) return 0
    let unset = 0
    for (const byte of this.#bits) for (let i = 0; i < 8; i++) if ((byte & (1 << i)) === 0) unset++
    return Math.round(BITS * Math.log(BITS / Math.max(unset, 1)))
  }

  reset(): void {
    this.#bits = undefined
  }
}

/** FNV-1a over UTF-16 code units, with a last step that spreads it over all bits. */
function hash(text: string): number {
  let h = 0x811c9dc5
  for (let i = 0; i < text.length; i++) h = Math.imul(h ^ text.charCodeAt(i), 0x01000193)
  h = Math.imul(h ^ (h >>> 16), 0x85ebca6b)
  return (h ^ (h >>> 13)) >>> 0
}
