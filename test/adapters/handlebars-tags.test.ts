import { registerCache } from 'fragcache/handlebars'
import Handlebars from 'handlebars'
import { describe, expect, it } from 'vitest'
import { createCaches, LocMemCache, makeTemplateFragmentKey } from '../../src/index.js'

function setUp() {
  const handlebars = Handlebars.create()
  const cache = new LocMemCache()
  const { renderAsync } = registerCache(handlebars, createCaches({ default: cache }))
  /** The tags that a fragment with this keyword is stored with. */
  const tagsOf = async (tags: string, context: object) => {
    const template = `{{#cache 60 "box" tags=${tags}}}x{{/cache}}`
    await renderAsync(template, context)
    return (await cache.describe(makeTemplateFragmentKey('box')))?.tags
  }
  return { handlebars, tagsOf, renderAsync }
}

describe('the helper cacheTags', () => {
  it.each<[tags: string, expected: string[]]>([
    ['(cacheTags "shop")', ['shop']],
    ['(cacheTags "product" id)', ['product:7']],
    ['(cacheTags "product" id "price")', ['product:7:price']],
    ['(cacheTags "product" ids)', ['product:1', 'product:2']],
    ['(cacheTags "product" ids langs)', ['product:1:en', 'product:1:fr', 'product:2:en', 'product:2:fr']], // prettier-ignore
    ['(cacheTags product=id)', ['product:7']],
    ['(cacheTags "shop" product=ids lang="en")', ['shop', 'product:1', 'product:2', 'lang:en']],
    ['(cacheTags product=none)', []],
    ['(cacheTags)', []],
  ])('makes of %s %j', async (tags, expected) => {
    const { tagsOf } = setUp()
    const context = { id: 7, ids: [1, 2], langs: ['en', 'fr'], none: [] }
    expect((await tagsOf(tags, context))?.toSorted()).toEqual(expected.toSorted())
  })

  it.each([
    '(cacheTags "product" missing)',
    '(cacheTags product=empty)',
    '(cacheTags row)',
    '(cacheTags "a" nil)',
  ])('refuses %s, naming the value and the line', async (tags) => {
    const { tagsOf } = setUp()
    await expect(tagsOf(tags, { empty: '', row: { id: 7 }, nil: null })).rejects.toThrow(
      /^cache tag \(line 1\): cacheTags: .* cannot be part of a tag; give strings and numbers/,
    )
  })

  it("leaves an application's own alone", async () => {
    const handlebars = Handlebars.create()
    handlebars.registerHelper('cacheTags', () => 'own')
    const { renderAsync } = registerCache(handlebars, createCaches({ default: new LocMemCache() }))
    expect(await renderAsync('{{cacheTags "product" 7}}')).toBe('own')
    const late = setUp()
    late.handlebars.registerHelper('cacheTags', () => 'later')
    expect(await late.renderAsync('{{cacheTags "product" 7}}')).toBe('later')
  })
})
