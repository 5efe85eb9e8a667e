import { afterAll, afterEach, beforeEach, describe, expect, it, vi } from 'vitest'
import { MemcachedCache } from '../../src/backends/memcached.js'
import type { CacheSettings } from '../../src/index.js'
import { SteppedClock } from '../support/clock.js'
import {
  expectedOutcome,
  readGolden,
  replay,
  toSettings,
  type BackendCase,
  type GoldenResult,
  type Outcome,
} from '../support/golden.js'
import { tell } from '../support/memcached.js'
import { sharedServer } from '../support/servers.js'
import { startMemcached } from '../support/servers/memcached.js'

const isThere = (await sharedServer('memcached')) !== undefined
const server = isThere ? await startMemcached() : undefined
const location = server?.location ?? ''
afterAll(() => server?.stop())

/** Where a case ends otherwise than over Django's Memcached caches, and why. */
interface Deviation {
  readonly why: string
  readonly steps?: Readonly<Record<number, Outcome>>
  readonly refused?: RegExp
}

const typeError = { raises: 'TypeError' }

const deviations: Readonly<Record<string, Deviation>> = {
  be068: {
    why: 'text of digits is text: Django’s client stores it as the number it looks like',
    steps: { 4: typeError, 5: { value: '12' } },
  },
  be080: { why: '`incrVersion` keeps the time left', steps: { 2: { value: 1000 } } },
  be104: { why: 'timeouts that are no numbers', refused: /timeout: "abc"/ },
  be108: {
    why: 'timeouts that are no numbers',
    steps: { 0: typeError, 1: { value: 'missing' }, 2: typeError },
  },
  be110: { why: 'a hundred years are no expired date', steps: { 1: { value: 1 } } },
  be111: { why: 'nor is what is longer', steps: { 1: { value: 1 } } },
  be137: {
    why: 'keys that are no text',
    steps: Object.fromEntries(Array.from({ length: 11 }, (_, i) => [i, typeError])),
  },
}

/** What Django's client raises, in our words. */
const ERRORS: Readonly<Record<string, string>> = {
  InvalidCacheKey: 'FRAGCACHE_INVALID_KEY',
  MemcacheIllegalInputError: 'FRAGCACHE_INVALID_KEY',
  MemcacheClientError: 'TypeError',
}

function translated(outcome: Outcome): Outcome {
  return 'raises' in outcome ? { raises: ERRORS[outcome.raises] ?? outcome.raises } : outcome
}

const cases = readGolden<BackendCase>('backend.json').filter(({ results }) => results['pymemcache'])

const clock = new SteppedClock()

beforeEach(async () => {
  vi.spyOn(process, 'emitWarning').mockImplementation(() => undefined)
  if (isThere) await tell(location, 'flush_all\r\n')
  clock.start()
})
afterEach(() => {
  vi.restoreAllMocks()
})

function open(settings: CacheSettings): MemcachedCache {
  // Neither Django's cache nor this one culls: the server does.
  return new MemcachedCache({ ...settings, options: undefined, location })
}

/** Deadlines are kept to four parts in a thousand, and to two seconds above 17 minutes. */
function closeTo(expected: Outcome, op: string | undefined): unknown {
  if (op !== 'ttl' || !('value' in expected) || typeof expected.value !== 'number') return expected
  const { value } = expected
  const least = value > 1048 ? value - 2 : value * 0.996
  return {
    value: expect.toSatisfy((left: unknown) => Number(left) >= least && Number(left) <= value),
  }
}

/** Django cannot tell what time is left in Memcached; we can, as over local memory. */
function recorded(golden: BackendCase): readonly GoldenResult[] {
  return (golden.results['pymemcache'] ?? []).map((result, i) =>
    result.value === 'n/a' ? (golden.results['locmem']?.[i] ?? result) : result,
  )
}

describe.skipIf(!isThere)('Django’s own results, over its Memcached cache as over ours', () => {
  it.each(cases.map((golden) => [`${golden.id} ${golden.title}`, golden] as const))(
    '%s',
    async (_, golden) => {
      const deviation = deviations[golden.id]
      if (deviation?.refused !== undefined) {
        expect(() => open(toSettings(golden.params))).toThrow(deviation.refused)
        return
      }
      const outcomes = await replay(golden, { open, advance: clock.advance })
      recorded(golden).forEach((result, i) => {
        const expected = translated(expectedOutcome(result))
        const ours = deviation?.steps?.[i]
        // A deviation that is none any more has no place in the table.
        if (ours !== undefined) expect(ours).not.toEqual(expected)
        const { op } = golden.steps[i] ?? {}
        expect(outcomes[i], `step ${i}, ${op ?? ''}`).toEqual(closeTo(ours ?? expected, op))
      })
    },
  )
})
