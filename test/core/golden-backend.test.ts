import { randomUUID } from 'node:crypto'
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest'
import { FileBasedCache } from '../../src/backends/file.js'
import { DummyCache, LocMemCache, type CacheSettings } from '../../src/index.js'
import { SteppedClock } from '../support/clock.js'
import { differences } from '../support/differences.js'
import { folderOfTest } from '../support/folders.js'
import {
  expectedOutcome,
  readGolden,
  replay,
  toSettings,
  type BackendCase,
  type Outcome,
} from '../support/golden.js'

type BackendName = 'locmem' | 'file' | 'dummy'

/** Where a case deliberately ends otherwise than in Django: the list of differences says why. */
interface Deviation {
  readonly what: string
  readonly backends: readonly BackendName[]
  /** The steps that end otherwise. */
  readonly steps?: Readonly<Record<number, Outcome>>
  /** The cache cannot even be made. */
  readonly refused?: RegExp
}

const ALL: readonly BackendName[] = ['locmem', 'file', 'dummy']
const STORING: readonly BackendName[] = ['locmem', 'file']
const typeError = { raises: 'TypeError' }

const deviations: Readonly<Record<string, readonly Deviation[]>> = {
  be066: [
    {
      what: '`incr` beyond 2^53',
      backends: STORING,
      steps: { 1: typeError, 2: { value: 1 } },
    },
    { what: '`incr` beyond 2^53', backends: ['dummy'], steps: { 1: typeError } },
  ],
  be069: [
    {
      what: '`incr` of a boolean',
      backends: STORING,
      steps: { 1: typeError, 2: { value: true } },
    },
  ],
  be071: [{ what: '`incr` and the time left', backends: ['file'], steps: { 2: { value: null } } }],
  be080: [
    { what: '`incrVersion` and the time left', backends: STORING, steps: { 2: { value: 1000 } } },
  ],
  be104: [{ what: 'Timeouts that are no numbers', backends: ALL, refused: /timeout: "abc"/ }],
  be108: [
    {
      what: 'Timeouts that are no numbers',
      backends: STORING,
      steps: { 0: typeError, 1: { value: 'missing' }, 2: typeError },
    },
    {
      what: 'Timeouts that are no numbers',
      backends: ['dummy'],
      steps: { 0: typeError, 2: typeError },
    },
  ],
  be117: [
    { what: '`touch` of an expired file', backends: ['file'], steps: { 2: { value: false } } },
  ],
  be137: [
    { what: 'Keys that are no text', backends: STORING, steps: everyStep(11) },
    // Django's own dummy cannot touch such a key either.
    { what: 'Keys that are no text', backends: ['dummy'], steps: everyStep(11, 4) },
  ],
  be143: [
    {
      what: 'Culling less than one entry',
      backends: STORING,
      // After each of the sets from the eleventh on: never more than ten.
      steps: Object.fromEntries(Array.from({ length: 14 }, (_, i) => [21 + 2 * i, { value: 10 }])),
    },
  ],
  be146: [{ what: '`maxEntries` of 0', backends: STORING, refused: /maxEntries: 0/ }],
  be156: [{ what: 'Culling for nothing', backends: STORING, steps: { 11: { value: 10 } } }],
  be157: [{ what: 'Options as text', backends: STORING, refused: /maxEntries: "10"/ }],
}

function everyStep(count: number, except?: number): Record<number, Outcome> {
  const steps = Array.from({ length: count }, (_, i) => i).filter((i) => i !== except)
  return Object.fromEntries(steps.map((i) => [i, typeError]))
}

const cases = readGolden<BackendCase>('backend.json')
const clock = new SteppedClock()
let folder = ''
let location = ''

beforeEach(() => {
  clock.start()
  location = randomUUID()
  folder = folderOfTest()
  vi.spyOn(process, 'emitWarning').mockImplementation(() => undefined)
})
afterEach(() => {
  vi.restoreAllMocks()
})

const open: Readonly<
  Record<BackendName, (settings: CacheSettings) => LocMemCache | DummyCache | FileBasedCache>
> = {
  locmem: (settings) => new LocMemCache({ ...settings, location }),
  file: (settings) => new FileBasedCache({ ...settings, location: folder }),
  dummy: (settings) => new DummyCache(settings),
}

const titled = (some: readonly BackendCase[]) =>
  some.map((golden) => [`${golden.id} ${golden.title}`, golden] as const)

/** Steps of which Django’s fixture says nothing that another backend could equal. */
function isIncomparable(golden: BackendCase, name: BackendName, step: number): boolean {
  const { op } = golden.steps[step] ?? {}
  // Which entries a file cache culls is chance, there as here.
  if (name === 'file' && op === 'present') return true
  // Deadlines of what is not kept.
  return name === 'dummy' && op === 'ttl'
}

describe.each(ALL)('Django’s own results, over its %s cache as over ours', (name) => {
  const recorded = cases.filter(({ results }) => results[name] !== undefined)

  it.each(titled(recorded))('%s', async (_, golden) => {
    const deviation = deviations[golden.id]?.find(({ backends }) => backends.includes(name))
    if (deviation?.refused !== undefined) {
      expect(() => open[name](toSettings(golden.params))).toThrow(deviation.refused)
      return
    }
    const outcomes = await replay(golden, { open: open[name], advance: clock.advance })
    golden.results[name]?.forEach((result, i) => {
      if (isIncomparable(golden, name, i)) return
      const expected = expectedOutcome(result)
      const ours = deviation?.steps?.[i]
      // A deviation that is none any more has no place in the list.
      if (ours !== undefined) expect(ours).not.toEqual(expected)
      expect(outcomes[i], `step ${i}, ${golden.steps[i]?.op ?? ''}`).toEqual(ours ?? expected)
    })
  })

  it('keeps as many entries as Django where which ones is chance', async () => {
    const golden = cases.find(({ id }) => id === 'be150')
    if (name !== 'file' || golden === undefined) return
    const outcomes = await replay(golden, { open: open.file, advance: clock.advance })
    const left = (outcomes.at(-1) as { value: string[] }).value
    expect(left).toHaveLength(6)
    expect(left).toContain('k11')
  })
})

describe('the cases that end otherwise', () => {
  it('are in the list of differences', () => {
    const names = differences().map(({ what }) => what)
    for (const { what } of Object.values(deviations).flat()) expect(names).toContain(what)
  })
})

describe('warnings about keys', () => {
  const CODES: Readonly<Record<string, string>> = {
    too_long: 'FRAGCACHE_KEY_TOO_LONG',
    bad_characters: 'FRAGCACHE_KEY_BAD_CHARACTERS',
  }
  const ofKeys = cases.filter(({ group, id }) => group === 'key validation' && id !== 'be137')

  it.each(titled(ofKeys))('%s', async (_, golden) => {
    // What was warned of is remembered by the process: a fresh copy remembers nothing yet.
    vi.resetModules()
    const fresh = await import('../../src/index.js')
    await replay(golden, {
      open: (settings) => new fresh.LocMemCache({ ...settings, location }),
      advance: clock.advance,
    })
    const warned = vi.mocked(process.emitWarning).mock.calls.map((call) => {
      const { type, code } = call[1] as { readonly type: string; readonly code: string }
      expect(type).toBe('CacheKeyWarning')
      return code
    })
    const django = new Set(golden.results['locmem']?.flatMap(({ warnings = [] }) => warnings))
    // Row "Length of a key": 200 letters of two bytes are 200 characters, and 400 bytes.
    if (golden.id === 'be130') django.add('too_long')
    expect(warned.toSorted()).toEqual([...django].map((kind) => CODES[kind]).toSorted())
  })
})
