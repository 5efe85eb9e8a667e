import { vi } from 'vitest'

const { waitFor } = vi

/**
 * Where a test states no time, a slow machine has ten seconds; what comes sooner is not waited for
 * longer. The runner has a setting for `expect.poll` alone.
 */
vi.waitFor = (callback, options = { timeout: 10_000 }) => waitFor(callback, options)
