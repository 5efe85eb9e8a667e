import { createCaches, FragmentCache, LocMemCache } from 'fragcache'
import { beforeEach, describe, expect, it, vi } from 'vitest'
import { AsyncTestCache } from '../support/async-cache.js'
import { etaEngine, handlebarsEngine, nunjucksEngine } from './engines-under-test.js'

/* What is a promise to a template is text to the cache: somebody has to say so. */

const TEXT = '[[object Promise]]'
/** Names are warned about once in a process. */
let names = 0

let warnings: unknown[][] = []
beforeEach(() => {
  warnings = []
  vi.spyOn(process, 'emitWarning').mockImplementation((...args: unknown[]) => {
    warnings.push(args)
  })
})

const kind = { type: 'FragmentPromiseWarning', code: 'FRAGCACHE_PROMISE_PRINTED' }
const saying = (begin: string): unknown[] => [
  expect.stringMatching(`^${begin}.*await it before`),
  kind,
]

describe.each([
  ['Nunjucks', nunjucksEngine],
  ['Handlebars', handlebarsEngine],
  ['Eta', etaEngine],
] as const)('a promise that a fragment of %s puts out', (_, { syntax, create }) => {
  it.each([
    ['local memory', () => new LocMemCache()],
    ['an asynchronous cache', () => new AsyncTestCache()],
  ])('is warned of once where its text is stored in %s', async (_cache, newCache) => {
    const name = `promise-${names++}`
    const body = `[${syntax.show('price')}]`
    const engine = await create({
      options: {},
      caches: createCaches({ default: newCache() }),
      templates: { bare: body, main: syntax.cache(`60 "${name}" ${syntax.value('id')}`, body) },
    })
    const render = (template: string, id: number) =>
      engine.renderAsync?.(template, { price: Promise.resolve(12), id })
    expect(await render('bare', 1)).toBe(TEXT)
    expect(await render('main', 1)).toBe(TEXT)
    expect(warnings).toEqual([saying(`fragment "${name}" \\(.*line 1\\): `)])
    expect([await render('main', 1), await render('main', 2)]).toEqual([TEXT, TEXT])
    expect(warnings).toHaveLength(1)
  })

  it('is not spoken of where nothing is stored', async () => {
    const engine = await create({
      options: {},
      caches: createCaches({ default: new LocMemCache() }),
      templates: {
        main: syntax.cache(
          `60 "promise-${names++}" if=${syntax.value('isCached')}`,
          syntax.show('price'),
        ),
      },
    })
    await engine.renderAsync?.('main', { price: Promise.resolve(12), isCached: false })
    expect(warnings).toEqual([])
  })
})

it('one that a fragment from code puts out is warned of too', async () => {
  const fragments = new FragmentCache(createCaches({ default: new LocMemCache() }))
  const name = `promise-${names++}`
  const body = () => `[${Object.prototype.toString.call(Promise.resolve(12))}]`
  expect(await fragments.render({ name }, body)).toBe(TEXT)
  expect(warnings).toEqual([saying(`fragment "${name}": `)])
})
