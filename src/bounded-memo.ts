import { nodeCrypto } from './node-crypto.js'

/** Longer keys are kept as digests: to make one costs more than to look up what is not very long. */
const MAX_KEY_LENGTH = 2048

/** Bytes that an entry costs beside its key and its value. */
const ENTRY_BYTES = 100

/** What a text is remembered by: itself, or its digest, which is a number, since no text equals one. */
export type ShortKey = string | bigint

/** Bytes of a digest, as a number of 256 bits. */
const DIGEST_BYTES = 64

/**
 * A key as it is remembered: a long one as its SHA-256, so that nobody fills the memory with long
 * names, and nobody finds two texts that are remembered as one.
 *
 * @param maxLength - In UTF-16 code units.
 */
export function shortKey(key: string, maxLength = MAX_KEY_LENGTH): ShortKey {
  if (key.length <= maxLength) return key
  // UTF-8 has one and the same character for all lone surrogates.
  const units = Buffer.from(key, 'utf16le')
  return BigInt(`0x${nodeCrypto().hash('sha256', units, 'hex')}`)
}

function bytesOfKey(short: ShortKey): number {
  return typeof short === 'string' ? bytesOfText(short) : DIGEST_BYTES
}

/** At most so many bytes, for what may take two in each character. */
export function bytesOfText(text: string): number {
  return 2 * text.length + 16
}

/** As {@link bytesOfText}, of a list. */
export function bytesOfTexts(texts: readonly string[]): number {
  return texts.reduce((sum, text) => sum + 8 + bytesOfText(text), 16)
}

/**
 * Bytes that several memos share.
 *
 * What is remembered is in one of two generations. What is new, and what is used again, is in the recent
 * one; once that has taken half of the bytes, it becomes the older one, and what was in the older one
 * until then is forgotten, in all of the memos at once. So nothing is kept in order, to look something
 * up costs what it costs in a `Map`, and what was used within the last half is there.
 */
export class MemoBudget {
  readonly #members = new Set<WeakRef<Generations>>()
  #bytes = 0

  /** @param maxBytes - Of both generations together. */
  constructor(readonly maxBytes: number) {}

  /** @returns Whether it may be kept: nothing takes a large part of the budget alone. */
  charge(bytes: number): boolean {
    if (bytes > this.maxBytes / 64) return false
    this.#bytes += bytes
    if (this.#bytes > this.maxBytes / 2) {
      this.#bytes = bytes
      this.#turn()
    }
    return true
  }

  /** A memo that nobody holds any more is not held by its budget either. */
  join(member: Generations): void {
    this.#members.add(new WeakRef(member))
  }

  #turn(): void {
    for (const ref of this.#members) {
      if (ref.deref()?.turn() !== true) this.#members.delete(ref)
    }
  }
}

/**
 * What is remembered of requests and renders by all of this process, except pages. The memory does not
 * grow beyond this, however many URLs, header fields, hosts and vary-on values visitors think up.
 */
export const MEMO_BYTES = 16 * 1024 * 1024

const shared = new MemoBudget(MEMO_BYTES)

/** A memo's two generations. */
abstract class Generations {
  #isMember = false
  #isInUse = false

  constructor(private readonly budget: MemoBudget) {}

  /** @returns Whether it may be kept. */
  protected admit(bytes: number): boolean {
    if (!this.budget.charge(bytes)) return false
    if (!this.#isMember) {
      this.#isMember = true
      this.budget.join(this)
    }
    this.#isInUse = true
    return true
  }

  /** @returns Whether there is anything left in it. */
  turn(): boolean {
    this.forgetOlder()
    this.#isMember = this.#isInUse
    this.#isInUse = false
    return this.#isMember
  }

  /** The recent generation becomes the older one. */
  protected abstract forgetOlder(): void
}

/**
 * Remembers what was found out, by a text that visitors may choose: bounded by bytes, and so by number.
 *
 * @remarks Anything may be forgotten at any time, so it holds nothing that cannot be found out again.
 *   A value is charged when it is set: what changes in it later is not to grow, or to be set again.
 */
export class BoundedMemo<V extends NonNullable<unknown>> extends Generations {
  #recent = new Map<ShortKey, V>()
  #older: Map<ShortKey, V> = NONE as Map<ShortKey, V>
  #hasForgotten = false

  /**
   * @param bytesOf - What a value takes, without its key.
   * @param budget - Default: the one that all memos of the process share.
   */
  constructor(
    private readonly bytesOf: (value: V) => number,
    budget: MemoBudget = shared,
  ) {
    super(budget)
  }

  get(key: string): V | undefined {
    // Most of what is asked for is here, and costs no more than in a table of its own.
    return this.#recent.get(key) ?? this.#find(shortKey(key))
  }

  /** As {@link get}, but it does not count as a use: it is forgotten no later for it. */
  peek(key: string): V | undefined {
    const short = shortKey(key)
    return this.#recent.get(short) ?? this.#older.get(short)
  }

  /** Whether something was set that is not remembered any more, beside what was deleted. */
  get hasForgotten(): boolean {
    return this.#hasForgotten
  }

  #find(short: ShortKey): V | undefined {
    const older = this.#older.get(short)
    if (older === undefined) return this.#recent.get(short)
    this.#keep(short, older)
    return older
  }

  set(key: string, value: V): void {
    this.#keep(shortKey(key), value)
  }

  /** All that is remembered, in no order. */
  *values(): Generator<V> {
    yield* this.#older.values()
    yield* this.#recent.values()
  }

  delete(key: string): void {
    const short = shortKey(key)
    this.#recent.delete(short)
    this.#older.delete(short)
  }

  #keep(short: ShortKey, value: V): void {
    const before = this.#recent.get(short)
    const bytes = this.bytesOf(value)
    const isKept = this.admit(
      before === undefined || before === value
        ? ENTRY_BYTES + bytesOfKey(short) + bytes
        : // What it takes the place of was charged.
          Math.max(0, bytes - this.bytesOf(before)),
    )
    this.#older.delete(short)
    if (isKept) this.#recent.set(short, value)
    else {
      this.#recent.delete(short)
      this.#hasForgotten = true
    }
  }

  protected override forgetOlder(): void {
    this.#hasForgotten ||= this.#older.size > 0
    this.#older = this.#recent
    this.#recent = new Map()
  }
}

/** A generation that nothing was ever in. */
const NONE: Map<ShortKey, unknown> = new Map()

/** As {@link BoundedMemo}, by an object: what was found out of it goes when the object does. */
export class BoundedWeakMemo<K extends object, V extends NonNullable<unknown>> extends Generations {
  #recent = new WeakMap<K, V>()
  #older = new WeakMap<K, V>()

  /** @param bytesOf - What a value takes. */
  constructor(
    private readonly bytesOf: (value: V) => number,
    budget: MemoBudget = shared,
  ) {
    super(budget)
  }

  get(key: K): V | undefined {
    const value = this.#recent.get(key)
    if (value !== undefined) return value
    const older = this.#older.get(key)
    if (older !== undefined) this.set(key, older)
    return older
  }

  set(key: K, value: V): void {
    if (this.admit(ENTRY_BYTES + this.bytesOf(value))) this.#recent.set(key, value)
    else this.#recent.delete(key)
  }

  protected override forgetOlder(): void {
    this.#older = this.#recent
    this.#recent = new WeakMap()
  }
}
