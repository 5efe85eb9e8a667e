import assert from 'node:assert/strict'
import type { Cache } from '../../../src/index.js'
import type { BackendUnderTest, SuiteSettings } from './types.js'

/** Defines one test of the suite. */
export interface Define {
  (name: string, body: (t: Fixture) => Promise<void>): void
  /** One that lets time pass: with a real clock it runs under the first variant only. */
  readonly waiting: (name: string, body: (t: Fixture) => Promise<void>) => void
}

/** A timeout that does not end during a test. */
export const LONG = 1000

/** What one test has at hand: caches over one store, and time. */
export class Fixture {
  readonly #backend: BackendUnderTest
  readonly #caches: Cache[] = []
  readonly #wholeSeconds: boolean

  constructor(
    backend: BackendUnderTest,
    readonly variant: SuiteSettings,
  ) {
    this.#backend = backend
    this.#wholeSeconds = backend.differences?.wholeSecondClock !== undefined
  }

  /** Whether time can be set to the millisecond. */
  get exact(): boolean {
    return this.#backend.advance !== undefined && !this.#wholeSeconds
  }

  /** A timeout in seconds whose end can be waited for. */
  get short(): number {
    if (this.#backend.advance !== undefined) return 60
    return this.#wholeSeconds ? 2 : 1
  }

  /** Lets the larger part of a short timeout pass. */
  async passMost(): Promise<void> {
    await this.advance(this.exact ? this.short - 0.001 : this.short / 4)
  }

  /** Lets the rest pass, and what the coarseness of clocks may add. */
  async passRest(): Promise<void> {
    const margin = this.#wholeSeconds ? 1.2 : 0.3
    await this.advance(this.exact ? 0.001 : (this.short * 3) / 4 + margin)
  }

  async advance(seconds: number): Promise<void> {
    if (this.#backend.advance !== undefined) await this.#backend.advance(seconds)
    else await new Promise((resolve) => setTimeout(resolve, seconds * 1000))
  }

  /** Makes a cache over the store of this test. */
  async open(settings: SuiteSettings = {}): Promise<Cache> {
    const cache = await this.#backend.create({ ...this.variant, ...settings })
    this.#caches.push(cache)
    return cache
  }

  async close(): Promise<void> {
    for (const cache of this.#caches) await cache.close()
  }
}

/** A call that was made wrongly. */
export async function assertTypeError(promise: Promise<unknown>, message?: RegExp): Promise<void> {
  await assert.rejects(promise, (error: unknown) => {
    assert.ok(error instanceof TypeError, `${String(error)} is not a TypeError`)
    if (message !== undefined) assert.match(error.message, message)
    return true
  })
}

/** A failure with a code. */
export async function assertCode(promise: Promise<unknown>, code: string): Promise<void> {
  await assert.rejects(promise, (error: unknown) => {
    assert.equal((error as { readonly code?: unknown }).code, code, String(error))
    return true
  })
}

export async function assertMissing(cache: Cache, key: string): Promise<void> {
  assert.equal(await cache.get(key), undefined)
  assert.equal(await cache.has(key), false)
  assert.equal((await cache.getMany([key])).size, 0)
}

/** A group of tests. */
export type Section = (test: Define) => void
