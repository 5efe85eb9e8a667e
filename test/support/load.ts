import { setTimeout as sleep } from 'node:timers/promises'
import type { Cache } from '../../src/index.js'
import { ownTime } from './own-time.js'

/** A call that failed. */
export interface Failure {
  readonly call: string
  readonly error: unknown
  /** By `ownTime.now()`. */
  readonly endMs: number
}

/**
 * Whether a call failed for lack of time alone, its own or that of those before it. On a busy machine
 * that also happens to a server that works.
 */
export function isForTime(error: unknown): boolean {
  const text = error instanceof Error ? `${error.message} ${String(error.cause)}` : ''
  return /no answer within \d+ ms/.test(text)
}

/** Milliseconds within which a server that works is steady on any machine. */
const SETTLING_LIMIT_MS = 20_000

const WORKERS = 20
const KEYS = 50

/**
 * Callers that ask a cache without pause. Every value says for which key it was stored, so that an
 * answer that was meant for another call is noticed.
 */
export class Load {
  readonly #cache: Cache
  readonly failures: Failure[] = []
  /** Answers that were another call's. */
  readonly mixedUp: string[] = []
  readonly #successesMs: number[] = []
  longestMs = 0
  pending = 0
  #count = 0

  constructor(cache: Cache) {
    this.#cache = cache
  }

  /** Runs for so many milliseconds, and until every call has ended. */
  async run(ms: number): Promise<void> {
    const untilMs = performance.now() + ms
    await this.#runWhile(() => performance.now() < untilMs)
  }

  /** Runs for as long as something takes, and until every call has ended. */
  async runUntil<T>(end: Promise<T>): Promise<T> {
    let goesOn = true
    const ended = end.finally(() => (goesOn = false))
    const [result] = await Promise.all([ended, this.#runWhile(() => goesOn)])
    return result
  }

  /**
   * Runs until no call has failed for so many milliseconds.
   *
   * @throws Error: calls go on failing; with the last failure as its cause.
   */
  async settle(steadyMs: number): Promise<void> {
    const untilMs = performance.now() + SETTLING_LIMIT_MS
    for (;;) {
      const before = this.failures.length
      await this.run(steadyMs)
      if (this.failures.length === before) return
      if (performance.now() > untilMs) {
        throw new Error('calls go on failing', { cause: this.failures.at(-1)?.error })
      }
    }
  }

  /** Forgets what failed, and how long calls took. */
  reset(): void {
    this.failures.length = 0
    this.longestMs = 0
  }

  /** Milliseconds from a time to the first call that began after it and succeeded. */
  firstSuccessAfter(startMs: number): number {
    return (this.#successesMs.find((ms) => ms > startMs) ?? Infinity) - startMs
  }

  async #runWhile(goesOn: () => boolean): Promise<void> {
    await Promise.all(Array.from({ length: WORKERS }, (_, i) => this.#work(i, goesOn)))
  }

  async #work(worker: number, goesOn: () => boolean): Promise<void> {
    while (goesOn()) {
      const call = CALLS[(worker + this.#count++) % CALLS.length] ?? 'get'
      const startMs = ownTime.now()
      this.pending++
      try {
        await this.#call(call)
        this.#successesMs.push(ownTime.now())
      } catch (error) {
        this.failures.push({ call, error, endMs: ownTime.now() })
        // Who is refused at once would leave nobody else any time.
        await sleep(5)
      } finally {
        this.pending--
        this.longestMs = Math.max(this.longestMs, ownTime.now() - startMs)
      }
    }
  }

  async #call(call: (typeof CALLS)[number]): Promise<void> {
    const key = this.#someKey()
    const cache = this.#cache
    switch (call) {
      case 'get':
        this.#check(key, await cache.get(key))
        return
      case 'set':
        return cache.set(key, `${key}#${this.#count}`)
      case 'getMany': {
        const keys = [key, this.#someKey(), this.#someKey()]
        for (const [found, value] of await cache.getMany(keys)) this.#check(found, value)
        return
      }
      case 'setMany': {
        const failed = await cache.setMany({ [key]: `${key}#many` })
        if (failed.length > 0) throw new Error('setMany named the key')
        return
      }
      case 'delete':
        await cache.delete(key)
        return
      case 'add':
        await cache.add(key, `${key}#added`)
        return
      case 'tagged': {
        const tagged = `tagged-${key}`
        await cache.set(tagged, `${tagged}#`, { tags: ['a', 'b'] })
        this.#check(tagged, await cache.get(tagged))
        return
      }
    }
  }

  #someKey(): string {
    return `key-${Math.floor(Math.random() * KEYS)}`
  }

  #check(key: string, value: unknown): void {
    if (value === undefined) return
    if (typeof value === 'string' && value.startsWith(`${key}#`)) return
    this.mixedUp.push(`${key} was given ${JSON.stringify(value)}`)
  }
}

const CALLS = ['get', 'set', 'get', 'getMany', 'setMany', 'delete', 'add', 'tagged'] as const
