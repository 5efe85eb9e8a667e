import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it, vi } from 'vitest'
import { createCacheTable, DatabaseCache } from '../../src/backends/database.js'
import type { CacheSettings } from '../../src/index.js'
import { SteppedClock } from '../support/clock.js'
import {
  newTable,
  openBetterSqlite3,
  openMysql,
  openPostgres,
  type OpenDatabase,
} from '../support/databases.js'
import {
  expectedOutcome,
  readGolden,
  replay,
  toSettings,
  type BackendCase,
  type Outcome,
} from '../support/golden.js'
import { sharedServer } from '../support/servers.js'

const postgres = await sharedServer('postgres')
const mysql = await sharedServer('mysql')

/** Where a case ends otherwise than over Django's database cache, and why. */
interface Deviation {
  readonly why: string
  readonly steps?: Readonly<Record<number, Outcome>>
  readonly refused?: RegExp
}

const typeError = { raises: 'TypeError' }
const asked = (steps: readonly number[]) => Object.fromEntries(steps.map((i) => [i, typeError]))

const deviations: Readonly<Record<string, Deviation>> = {
  be066: { why: '`incr` beyond 2^53', steps: { 1: typeError, 2: { value: 1 } } },
  be069: { why: '`incr` of a boolean', steps: { 1: typeError, 2: { value: true } } },
  be071: { why: '`incr` keeps the time left', steps: { 2: { value: null } } },
  be080: { why: '`incrVersion` keeps the time left', steps: { 2: { value: 1000 } } },
  be104: { why: 'timeouts that are no numbers', refused: /timeout: "abc"/ },
  be106: { why: 'deadlines are exact to the millisecond', steps: { 2: { value: 1.5 } } },
  be108: {
    why: 'timeouts that are no numbers',
    steps: { 0: typeError, 1: { value: 'missing' }, 2: typeError },
  },
  be111: {
    why: 'deadlines are no dates, which would end in the year 9999',
    steps: { 0: { value: null }, 1: { value: 1 } },
  },
  be117: {
    why: '`touch` does not bring back what has expired',
    steps: { 2: { value: false }, 3: { value: null } },
  },
  be137: { why: 'keys that are no text', steps: asked([0, 2, 4, 5, 7]) },
  be143: {
    why: 'culling less than one entry',
    steps: Object.fromEntries(Array.from({ length: 13 }, (_, i) => [23 + 2 * i, { value: 11 }])),
  },
  be146: { why: '`maxEntries` of 0', refused: /maxEntries: 0/ },
  be154: { why: '`touch` culls nothing', steps: { 13: { value: 11 } } },
  be156: { why: 'a `set` with a timeout of 0 culls nothing', steps: { 11: { value: 10 } } },
  be157: { why: 'options as text', refused: /maxEntries: "10"/ },
}

const cases = readGolden<BackendCase>('backend.json').filter(({ results }) => results['db'])
const clock = new SteppedClock()

function sameAsDjango(open: () => OpenDatabase): void {
  let opened: OpenDatabase
  let location = ''
  const create = (settings: CacheSettings) =>
    new DatabaseCache({
      ...settings,
      // What is not done in time, as on a loaded machine, is done behind the write.
      options:
        typeof settings.options === 'object'
          ? { timeLimitMs: 20_000, ...settings.options }
          : settings.options,
      location,
      database: opened.database,
    })
  beforeAll(async () => {
    opened = open()
    location = newTable()
    await createCacheTable(create({}))
  })
  afterAll(async () => {
    await opened.ask(`DROP TABLE ${location}`)
    await opened.end()
  })
  beforeEach(async () => {
    await opened.ask(`DELETE FROM ${location}`)
    clock.start()
    vi.spyOn(process, 'emitWarning').mockImplementation(() => undefined)
  })
  afterEach(() => {
    vi.restoreAllMocks()
  })

  it.each(cases.map((golden) => [golden.id, golden.title, golden] as const))(
    '%s: %s',
    async (id, _, golden) => {
      const deviation = deviations[id]
      if (deviation?.refused !== undefined) {
        expect(() => create(toSettings(golden.params))).toThrow(deviation.refused)
        return
      }
      const outcomes = await replay(golden, { open: create, advance: clock.advance })
      golden.results['db']?.forEach((result, i) => {
        const expected = expectedOutcome(result)
        const ours = deviation?.steps?.[i]
        // A deviation that is none any more has no place in the table.
        if (ours !== undefined) expect(ours, `step ${i}`).not.toEqual(expected)
        expect(outcomes[i], `step ${i}, ${golden.steps[i]?.op ?? ''}`).toEqual(ours ?? expected)
      })
    },
  )
}

describe('Django’s own results over its database cache, as over ours', () => {
  describe('SQLite', () => sameAsDjango(openBetterSqlite3))
  describe.skipIf(postgres === undefined)('PostgreSQL', () => {
    sameAsDjango(() => openPostgres(postgres?.url ?? ''))
  })
  describe.skipIf(mysql === undefined)('MySQL or MariaDB', () => {
    sameAsDjango(() => openMysql(mysql?.url ?? ''))
  })
})
