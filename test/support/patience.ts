import { vi } from 'vitest'

const { waitFor, waitUntil } = vi

interface Waiting {
  readonly timeout?: number
  readonly interval?: number
}

/**
 * Where a test states no time, a slow machine has ten seconds; what comes sooner is not waited for
 * longer. The runner has a setting for `expect.poll` alone.
 */
const patiently = (options: number | Waiting = {}): number | Waiting =>
  typeof options === 'number' ? options : { timeout: 10_000, ...options }

vi.waitFor = (callback, options) => waitFor(callback, patiently(options))
vi.waitUntil = (callback, options) => waitUntil(callback, patiently(options))
