import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest'
import { RedisCache } from '../../src/backends/redis.js'
import type { CacheSettings } from '../../src/index.js'
import {
  expectedOutcome,
  readGolden,
  replay,
  toSettings,
  type BackendCase,
  type Outcome,
} from '../support/golden.js'
import { ageKeys } from '../support/redis-aging.js'
import { redisOfFile } from '../support/redis.js'

const { isThere, url, control } = await redisOfFile()

/** Where a case ends otherwise than over Django's Redis cache, and why. */
interface Deviation {
  readonly why: string
  readonly steps?: Readonly<Record<number, Outcome>>
  readonly refused?: RegExp
}

const typeError = { raises: 'TypeError' }

const deviations: Readonly<Record<string, Deviation>> = {
  be066: { why: 'the error for a delta that is not a whole number', steps: { 1: typeError } },
  be068: { why: 'the error for what is not a number', steps: { 1: typeError, 4: typeError } },
  be069: { why: 'the error for what is not a number', steps: { 1: typeError, 4: typeError } },
  be080: { why: '`incrVersion` keeps the time left', steps: { 2: { value: 1000 } } },
  be104: { why: 'timeouts that are no numbers', refused: /timeout: "abc"/ },
  be106: { why: 'deadlines are exact to the millisecond', steps: { 2: { value: 1.5 } } },
  be108: {
    why: 'timeouts that are no numbers',
    steps: { 0: typeError, 1: { value: 'missing' }, 2: typeError },
  },
  be114: { why: '`touch` tells whether the entry is there', steps: { 3: { value: true } } },
  be137: {
    why: 'keys that are no text',
    steps: Object.fromEntries(Array.from({ length: 11 }, (_, i) => [i, typeError])),
  },
}

const cases = readGolden<BackendCase>('backend.json').filter(({ results }) => results['redis'])

beforeEach(async () => {
  vi.spyOn(process, 'emitWarning').mockImplementation(() => undefined)
  await control.flushall()
})
afterEach(() => {
  vi.restoreAllMocks()
})

function open(settings: CacheSettings): RedisCache {
  // Neither Django's Redis cache nor this one culls: the server does.
  return new RedisCache({ ...settings, options: undefined, location: url })
}

/** Real time passes while a case runs: what is left of a deadline is a little less. */
function rounded(outcome: Outcome | undefined): unknown {
  if (outcome === undefined || !('value' in outcome)) return outcome
  const { value } = outcome
  if (typeof value !== 'number' || Number.isInteger(value)) return outcome
  return { value: Math.round(value * 2) / 2 }
}

describe.skipIf(!isThere)('Django’s own results, over its Redis cache as over ours', () => {
  it.each(cases.map((golden) => [`${golden.id} ${golden.title}`, golden] as const))(
    '%s',
    async (_, golden) => {
      const deviation = deviations[golden.id]
      if (deviation?.refused !== undefined) {
        expect(() => open(toSettings(golden.params))).toThrow(deviation.refused)
        return
      }
      const outcomes = await replay(golden, {
        open,
        advance: (seconds) => ageKeys(control, seconds),
      })
      golden.results['redis']?.forEach((result, i) => {
        const expected = expectedOutcome(result)
        const ours = deviation?.steps?.[i]
        // A deviation that is none any more has no place in the table.
        if (ours !== undefined) expect(ours).not.toEqual(expected)
        expect(rounded(outcomes[i]), `step ${i}, ${golden.steps[i]?.op ?? ''}`).toEqual(
          ours ?? expected,
        )
      })
    },
  )
})
