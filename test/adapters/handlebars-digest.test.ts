import { registerCache } from 'fragcache/handlebars'
import Handlebars from 'handlebars'
import { afterEach, describe, expect, it, vi } from 'vitest'
import { createCaches, FragmentCache, LocMemCache, type Caches } from '../../src/index.js'

function start(caches: Caches, partials: Record<string, string> = {}, digest = true) {
  const handlebars = Handlebars.create()
  registerCache(handlebars, caches, { digest })
  let runs = 0
  handlebars.registerHelper('run', () => String(++runs))
  handlebars.registerPartial(partials)
  return {
    handlebars,
    render: (source: string) => handlebars.compile(source)({}),
    runs: () => runs,
  }
}

describe('the digest of a template', () => {
  const caches = () => createCaches({ default: new LocMemCache() })
  afterEach(() => void vi.restoreAllMocks())

  it('is part of the key, so that a changed template does not show old markup', () => {
    const store = caches()
    const before = start(store)
    expect(before.render('{{#cache 60 "a"}}old{{/cache}}')).toBe('old')
    const after = start(store)
    expect(after.render('{{#cache 60 "a"}}new{{/cache}}')).toBe('new')
    expect(start(store).render('{{#cache 60 "a"}}old{{/cache}}')).toBe('old')
  })

  it('is the same for the same source in another process', () => {
    const store = caches()
    const source = '{{#cache 60 "a"}}{{run}}{{> one}}{{/cache}}'
    const partials = { one: '{{> two}}', two: '2' }
    expect(start(store, partials).render(source)).toBe('12')
    const other = start(store, partials)
    expect(other.render(source)).toBe('12')
    expect(other.runs()).toBe(0)
  })

  it.each([
    ['a partial', '{{#cache 60 "a"}}{{> one}}{{/cache}}', { one: 'x' }, { one: 'y' }],
    [
      'a partial of a partial',
      '{{#cache 60 "a"}}{{> one}}{{/cache}}',
      { one: '{{> two}}', two: 'x' },
      { two: 'y' },
    ],
    [
      'a partial with a block',
      '{{#cache 60 "a"}}{{#> one}}{{/one}}{{/cache}}',
      { one: 'x' },
      { one: 'y' },
    ],
    ['one that was missing', '{{#cache 60 "a"}}{{#> one}}x{{/one}}{{/cache}}', {}, { one: 'y' }],
  ])('covers %s, and follows its registration', (_, source, partials, changed) => {
    const page = start(caches(), partials)
    const template = page.handlebars.compile(source)
    expect([template({}), template({})]).toEqual(['x', 'x'])
    page.handlebars.registerPartial(changed as Record<string, string>)
    expect(template({})).toBe('y')
    page.handlebars.registerPartial(partials as Record<string, string>)
    if ('one' in partials) expect(template({})).toBe('x')
  })

  it('covers the partials that a render is given, compiled ones too', () => {
    const page = start(caches())
    const template = page.handlebars.compile('{{#cache 60 "a"}}{{run}}{{> one}}{{/cache}}')
    const x = page.handlebars.compile('x')
    const y = page.handlebars.compile('y')
    expect(template({}, { partials: { one: x } })).toBe('1x')
    expect(template({}, { partials: { one: y } })).toBe('2y')
    expect(template({}, { partials: { one: x } })).toBe('1x')
  })

  it('covers an inline partial from around the tag', () => {
    const store = caches()
    const frame = '{{#cache 60 "a"}}{{run}}{{> slot}}{{/cache}}'
    const page = start(store, { frame })
    const one = page.handlebars.compile('{{#> frame}}{{#*inline "slot"}}x{{/inline}}{{/frame}}')
    const other = page.handlebars.compile('{{#> frame}}{{#*inline "slot"}}y{{/inline}}{{/frame}}')
    expect([one({}), other({}), one({}), other({})]).toEqual(['1x', '2y', '1x', '2y'])
  })

  it('covers an inline partial at the top of a view, used in a partial', () => {
    const warn = vi.spyOn(process, 'emitWarning').mockImplementation(() => undefined)
    const store = caches()
    const partials = { w: '{{#cache 60 "a"}}{{run}}{{> z}}{{/cache}}' }
    const view = (text: string) => `{{#*inline "z"}}${text}{{/inline}}{{> w}}`
    const before = start(store, partials)
    expect([before.render(view('x')), before.render(view('x'))]).toEqual(['1x', '1x'])
    // After a deployment.
    const after = start(store, partials)
    expect(after.render(view('y'))).toBe('1y')
    expect(after.render(view('x'))).toBe('1x')
    expect(after.runs()).toBe(1)
    expect(warn).not.toHaveBeenCalled()
  })

  it('is in precompiled templates, and a template without one is refused', () => {
    const builder = Handlebars.create()
    registerCache(builder, caches())
    const page = start(caches())
    const load = (code: unknown) =>
      page.handlebars.template((0, eval)(`(${String(code)})`) as TemplateSpecification)
    const source = '{{#cache 60 "a"}}{{run}}{{/cache}}'
    expect(load(builder.precompile(source))({})).toBe('1')
    expect(load(builder.precompile(source))({})).toBe('1')
    expect(load(builder.precompile(`${source}!`))({})).toBe('2!')
    const bare = load(Handlebars.create().precompile(source))
    expect(() => bare({})).toThrow(/precompiled without the tag.*leave digest out/)
  })

  it.each([
    ['{{#cache 60 "a"}}{{> (lookup this "p")}}{{/cache}}', /named by an expression/],
    ['{{#cache 60 "a"}}{{> one}}{{/cache}}', /"one" names another by an expression/],
    ['{{#cache 60 "a"}}{{> own}}{{/cache}}', /source of the partial "own" is not known/],
  ])('warns once of what it cannot cover: %s', (source, message) => {
    const warn = vi.spyOn(process, 'emitWarning').mockImplementation(() => undefined)
    const page = start(caches(), { one: '{{> (lookup this "p")}}', two: '2' })
    page.handlebars.registerPartial('own', () => 'own')
    const template = page.handlebars.compile(source)
    for (let i = 0; i < 3; i++) template({ p: 'two' })
    page.handlebars.registerPartial('own', () => 'again')
    template({ p: 'two' })
    const texts = warn.mock.calls.map(([text]) => String(text))
    expect(texts).toHaveLength(1)
    expect(texts[0]).toMatch(message)
  })

  it('is left out unless it is asked for', async () => {
    const store = caches()
    start(store, {}, false).render('{{#cache 60 "a"}}old{{/cache}}')
    const key = new FragmentCache(store).makeKey('a')
    expect(await store.get('default').get(key)).toBe('old')
    const digested = createCaches({ default: new LocMemCache() })
    start(digested).render('{{#cache 60 "a"}}old{{/cache}}')
    expect(await digested.get('default').get(key)).toBeUndefined()
  })
})
