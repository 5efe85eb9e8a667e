import nunjucks from 'nunjucks'
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest'
import { registerCache } from '../../adapters/nunjucks/index.js'
import { createCaches, LocMemCache, type Cache } from '../../src/index.js'
import { SteppedClock } from '../support/clock.js'
import { differences } from '../support/differences.js'
import { readGolden } from '../support/golden.js'
import { coreOf } from '../../src/backend/core.js'

interface StoredText {
  readonly value: string
  readonly ttl: number | null
}

interface TemplateCase {
  readonly id: string
  readonly title: string
  readonly template: string
  readonly contexts: readonly Readonly<Record<string, unknown>>[]
  readonly caches: string
  readonly autoescape: boolean
  readonly advance?: readonly number[]
  readonly results: readonly {
    readonly output?: string
    readonly raises?: { readonly error: string }
    readonly stored: Readonly<Record<string, Readonly<Record<string, StoredText>>>>
  }[]
}

/** Where the tag is deliberately different: the list of differences says why. */
const deviations: Readonly<Record<string, string>> = {
  tp022: 'Timeouts of the tag that are no whole seconds',
  tp047: 'Quotes around a fragment’s name',
  tp048: 'Quotes around a fragment’s name',
  tp086: 'Line ends inside a tag',
  tp105: 'Something else under a fragment’s key',
  tp111: 'Lists and objects as vary-on values',
}

/** What Django’s template language has and Nunjucks has not, or writes otherwise. */
const otherLanguage: Readonly<Record<string, string>> = {
  tp009: 'string_if_invalid',
  tp017: '_("…") translates',
  tp027: 'True is a literal',
  tp028: 'a filter’s argument stands behind a colon',
  tp030: 'a filter’s argument stands behind a colon',
  tp044: 'tags have to be loaded',
  tp091: 'the tag cycle',
  tp109: 'string_if_invalid',
  tp110: 'methods of a dict',
}

const cases = readGolden<TemplateCase>('template.json')
const clock = new SteppedClock()

beforeEach(() => {
  clock.start()
  vi.spyOn(process, 'emitWarning').mockImplementation(() => undefined)
})
afterEach(() => {
  vi.restoreAllMocks()
})

function stage({ caches: aliases, autoescape }: TemplateCase) {
  const caches = createCaches(
    Object.fromEntries(aliases.split(',').map((alias) => [alias, new LocMemCache()])),
  )
  const env = new nunjucks.Environment(null, { autoescape })
  return { caches, ...registerCache(env, caches) }
}

/** What lies in a cache under the keys that Django’s has, and for how many more seconds. */
async function storedIn(cache: Cache, keys: readonly string[]) {
  const { store } = coreOf(cache)
  const stored: Record<string, { value: unknown; ttl: number | null | undefined }> = {}
  for (const [key, value] of await cache.getMany(keys)) {
    const deadline = await store.readDeadline(cache.makeKey(key))
    const ttl = typeof deadline === 'number' ? (deadline - Date.now()) / 1000 : deadline
    stored[key] = { value, ttl }
  }
  return stored
}

describe('Django’s own cache tag, as ours in Nunjucks', () => {
  const same = cases.filter(
    ({ id }) => deviations[id] === undefined && otherLanguage[id] === undefined,
  )

  it.each(same.map((golden) => [`${golden.id} ${golden.title}`, golden] as const))(
    '%s',
    async (_, golden) => {
      const { caches, renderStringAsync } = stage(golden)
      const template = golden.template.replaceAll('{% load cache %}', '')
      for (const [i, context] of golden.contexts.entries()) {
        clock.advance(golden.advance?.[i] ?? 0)
        const result = golden.results[i]
        const rendered = renderStringAsync(template, context)
        if (result?.raises === undefined) expect(await rendered).toBe(result?.output)
        else await expect(rendered).rejects.toThrow()
        for (const [alias, entries] of Object.entries(result?.stored ?? {})) {
          const expected = Object.entries(entries).map(([key, { value, ttl }]) => [
            key,
            { value, ttl },
          ])
          expect(await storedIn(caches.get(alias), Object.keys(entries))).toEqual(
            Object.fromEntries(expected),
          )
        }
      }
    },
  )

  it('is different in the cases of the list of differences, and in those of another language', () => {
    const names = differences().map(({ what }) => what)
    for (const what of Object.values(deviations)) expect(names).toContain(what)
    const ids = cases.map(({ id }) => id)
    for (const id of [...Object.keys(deviations), ...Object.keys(otherLanguage)]) {
      expect(ids).toContain(id)
    }
  })

  it('keeps what a broken tag raises an error for from being stored', async () => {
    for (const golden of cases.filter(({ results }) => results[0]?.raises !== undefined)) {
      if (deviations[golden.id] !== undefined || otherLanguage[golden.id] !== undefined) continue
      const { caches, renderStringAsync } = stage(golden)
      const template = golden.template.replaceAll('{% load cache %}', '')
      const set = vi.spyOn(coreOf(caches.get('default')), 'tryStore')
      await expect(renderStringAsync(template, golden.contexts[0] ?? {})).rejects.toThrow()
      expect(set).not.toHaveBeenCalled()
    }
  })
})
