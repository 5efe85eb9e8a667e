import { vi } from 'vitest'

/** Milliseconds that a slow machine may need; what comes sooner is not waited for longer. */
const LEAST_MS = 10_000

// The runner has a setting for `expect.poll` alone.
const { waitFor } = vi
vi.waitFor = (callback, options = {}) => {
  const given = typeof options === 'number' ? { timeout: options } : options
  return waitFor(callback, { ...given, timeout: Math.max(given.timeout ?? 0, LEAST_MS) })
}
