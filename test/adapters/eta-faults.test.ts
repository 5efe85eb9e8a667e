import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { Eta, type EtaConfig } from 'eta'
import { createCaches, LocMemCache, type Caches, type CacheTagError } from 'fragcache'
import { cachePlugin, type EtaPlugin } from 'fragcache/eta'
import { afterEach, describe, expect, it, vi } from 'vitest'
import { AsyncTestCache } from '../support/async-cache.js'

const inMemory = () => createCaches({ default: new LocMemCache() })
const farAway = () => createCaches({ default: new AsyncTestCache() })

function etaOver(caches: Caches = inMemory(), config: Partial<EtaConfig> = {}): Eta {
  return new Eta({ plugins: [cachePlugin(caches)], ...config })
}

function faultOf(action: () => unknown): CacheTagError {
  try {
    action()
  } catch (error) {
    return error as CacheTagError
  }
  throw new Error('nothing was thrown')
}

async function faultIn(action: Promise<unknown>): Promise<CacheTagError> {
  return action.then(
    () => Promise.reject(new Error('nothing was thrown')),
    (error: unknown) => error as CacheTagError,
  )
}

afterEach(() => {
  vi.restoreAllMocks()
})

describe('a cache tag that is written wrongly', () => {
  it.each([
    ['<% cache %>x<% endcache %>', /needs a timeout and a fragment name/],
    ['<% cache 500 %>x<% endcache %>', /needs a timeout and a fragment name/],
    ['<% cache 500 using="local" %>x<% endcache %>', /needs a timeout and a fragment name/],
    ['<% cache 500 "" %>x<% endcache %>', /fragment name is ""/],
    ['<% cache 1.5 a %>x<% endcache %>', /timeout is 1\.5/],
    ['<% cache "soon" a %>x<% endcache %>', /timeout is "soon"/],
    ['<% cache 5 a nope=1 %>x<% endcache %>', /unknown keyword "nope"/],
    ['<% cache 5 a using="x" using="y" %>x<% endcache %>', /"using" is given twice/],
    ['<% cache 5 a using= "x" %>x<% endcache %>', /"using" has no value/],
    ['<% cache 5 a using="x" it.u %>x<% endcache %>', /comes after a keyword/],
    ['<% cache 5 a it.x + 1 %>x<% endcache %>', /put parentheses/],
    ['<% cache 5 a it.x ? 1 : 2 %>x<% endcache %>', /put parentheses/],
    ['<% cache 5 a await it.f() %>x<% endcache %>', /put parentheses/],
    ['<% cache 5 a it.x | upper %>x<% endcache %>', /put parentheses/],
    ['<% cache 5, a, %>x<% endcache %>', /nothing between two commas/],
    ['<% cache 5 a (it.x %>x<% endcache %>', /bracket \( is not closed/],
    ['<% cache 5 a it. %>x<% endcache %>', /"it\." is not a JavaScript expression/],
    [
      '<% cache 5 a (it.x it.y) %>x<% endcache %>',
      /"\(it\.x it\.y\)" is not a JavaScript expression/,
    ],
    ['<% cache 5 a %>x', /endcache is missing/],
    ['<% cache 5 a %><% cache 5 b %>x<% endcache %>', /fragment "a".*endcache is missing/],
    ['x<% endcache %>', /has no cache tag before it/],
    ['<% cache 5 a %>x<% endcache b %>', /this endcache names "b"/],
    ['<% cache 5 a %><% cache 5 b %>x<% endcache a %><% endcache b %>', /names "a"/],
    [
      '<% function* rows() { %><% cache 5 a %>x<% yield 1 %><% endcache %><% } %>',
      /yield inside, which a hit would leave out/,
    ],
  ])('%s is refused when the template is compiled', (template, message) => {
    const fault = faultOf(() => etaOver().compile(template))
    expect(fault.message).toMatch(message)
    expect(fault.code).toBe('FRAGCACHE_TAG')
    expect(fault.line).toBe(1)
  })

  it('is named by its line, whatever stands before it', () => {
    const template =
      'a <% /* <% cache */ %>\r\n<% const s = "<% cache 5" %>\n\n  <%_ cache 5\n x +\n%>'
    expect(faultOf(() => etaOver().compile(template))).toMatchObject({ line: 4, fragment: 'x' })
    expect(
      faultOf(() => etaOver(inMemory(), { rmWhitespace: true }).compile(template)),
    ).toMatchObject({ line: 4, fragment: 'x' })
    expect(faultOf(() => etaOver(inMemory(), { debug: true }).compile(template))).toMatchObject({
      line: 4,
      fragment: 'x',
    })
  })

  it('is named by the innermost line that lacks its end', () => {
    const fault = faultOf(() => etaOver().compile('<% cache 5 a %>\n<% cache 5 b %>\n'))
    expect(fault).toMatchObject({ line: 2, fragment: 'b' })
  })

  it('has no line if another plugin put it there', () => {
    const other: EtaPlugin = {
      processAST: (ast) => [
        ...ast,
        { t: 'e', val: 'cache 5 a it.x +' },
        { t: 'e', val: 'endcache' },
      ],
    }
    const eta = etaOver(inMemory(), { plugins: [other, cachePlugin(inMemory())] })
    const fault = faultOf(() => eta.compile('\n<% const cache = 5 %>\n'))
    expect(fault.message).toMatch(/^cache tag \(fragment "a"\): .*put parentheses/)
  })

  it('does not hide a syntax error of the template itself', () => {
    const template = '<% cache 5 a %><% if ( %><% endcache %>'
    expect(() => etaOver().compile(template)).toThrow(/Bad template syntax/)
    expect(() => etaOver().compile(template, { async: true })).toThrow(/Bad template syntax/)
  })

  it('may hold a whole generator function, and its keyword as a name or a text', () => {
    const template =
      `<% cache 5 a %><% function* g() { %>(<% yield 1 %>)<% } %><%= [...g()] %>` +
      `<%= it.yield %><%= 'yield' %><% const o = { yield: 1 } %><% endcache %>`
    expect(etaOver().renderString(template, { yield: 2 })).toBe('12yield')
  })
})

describe('a cache tag in a file', () => {
  const folder = mkdtempSync(join(tmpdir(), 'fragcache-eta-'))
  afterEach(() => rmSync(folder, { recursive: true, force: true }))
  const write = (name: string, source: string) => {
    mkdirSync(join(folder, 'parts'), { recursive: true })
    writeFileSync(join(folder, name), source)
  }

  it('is named by the file when the template is compiled', () => {
    write('other.eta', 'x')
    write('page.eta', `a\n<%~ include('./parts/card') %>`)
    write('parts/card.eta', '\n\n<% cache 5 a + 1 %><% endcache %>')
    const fault = faultOf(() => etaOver(inMemory(), { views: folder }).render('page', {}))
    expect(fault).toMatchObject({ template: 'parts/card.eta', line: 3, fragment: 'a' })
    expect(fault.message).toContain('parts/card.eta, line 3, fragment "a"')
  })

  it('is named by the file when it runs', async () => {
    write('page.eta', `a\n<%~ include('./parts/card', { ttl: 'soon' }) %>`)
    write('parts/card.eta', '\n\n<% cache it.ttl a %><% endcache %>')
    const eta = etaOver(inMemory(), { views: folder, cache: true })
    const expected = { template: 'parts/card.eta', line: 3, fragment: 'a' }
    expect(faultOf(() => eta.render('page', {}))).toMatchObject(expected)
    expect(await faultIn(eta.renderAsync('page', {}))).toMatchObject(expected)
  })

  it('is named by the name it was loaded by, wherever it is included', async () => {
    write('page.eta', `<%~ include('@card') %>`)
    const eta = etaOver(inMemory(), { views: folder })
    const expected = { template: '@card', line: 2, fragment: 'a' }
    for (const async of [false, true]) {
      eta.loadTemplate('@card', '\n<% cache it.ttl a %><% endcache %>', { async })
    }
    expect(faultOf(() => eta.render('page', {}))).toMatchObject(expected)
    expect(await faultIn(eta.renderAsync('@card', {}))).toMatchObject(expected)
  })

  it('has a path outside the views if its template has', () => {
    const eta = etaOver(inMemory(), { views: folder })
    const template = eta.compile('<% cache it.ttl a %><% endcache %>')
    const fault = faultOf(() => eta.render(template, {}, { filepath: '/elsewhere/page.eta' }))
    expect(fault.template).toBe('/elsewhere/page.eta')
  })
})

describe('a value that a tag cannot use', () => {
  it.each([
    ['a timeout', 'it.nope a', /timeout is undefined/],
    ['a timeout', '(1 / 3) a', /timeout is 0\.333/],
    ['a timeout', 'true a', /timeout is true/],
    ['using', '5 a using="nope"', /"nope"/],
    ['using', '5 a using=it.nope.x', /Cannot read properties of undefined/],
    ['using', '5 a using=7', /using is 7/],
    ['tags', '5 a tags=7', /tags is, or holds, 7/],
    ['tags', '5 a tags=["a", ""]', /tags is, or holds, ""/],
    ['version', '5 a version={}', /version is an object/],
    ['a vary-on value', '5 a it', /an object \(Map\)/],
    ['a vary-on value', '5 a (() => 1)', /a function/],
    ['a vary-on value', '5 a "\\ud800"', /lone surrogate/],
  ])('%s: %s', (_, args, message) => {
    const eta = etaOver()
    expect(() => eta.renderString(`<% cache ${args} %>x<% endcache %>`, new Map())).toThrow(message)
  })

  it('is told with line and fragment, and with the lines of the template in debug mode', () => {
    const template = 'a\n\n<% cache it.t a %>\n\n<% endcache %>'
    expect(faultOf(() => etaOver().renderString(template, {}))).toMatchObject({
      name: 'CacheTagError',
      line: 3,
      fragment: 'a',
      template: undefined,
    })
    const { message } = faultOf(() =>
      etaOver(inMemory(), { debug: true }).renderString(template, {}),
    )
    expect(message).toContain('>> 3| <% cache it.t a %>')
    expect(message).toContain('line 3, fragment "a"')
  })

  it('warns once of an undefined vary-on value, and takes it for the empty string', () => {
    const warn = vi.spyOn(process, 'emitWarning').mockReturnValue()
    const eta = etaOver()
    const template = '<% cache 5 undefined-once it.nope %><%= it.x %><% endcache %>'
    expect(eta.renderString(template, { x: 1 })).toBe('1')
    expect(eta.renderString(template, { x: 2, nope: '' })).toBe('1')
    expect(eta.renderString(template, { x: 3 })).toBe('1')
    expect(warn).toHaveBeenCalledOnce()
    expect(warn.mock.calls[0]?.[0]).toContain('"undefined-once"')
  })
})

describe('an error in a body', () => {
  it.each([false, true])('keeps its own message, and its line in debug mode: %s', (debug) => {
    const eta = etaOver(inMemory(), { debug })
    const fault = faultOf(() =>
      eta.renderString('l1\n<% cache 9 a %>\n\n<%= it.nope.x %>\n<% endcache %>\n', {}),
    )
    expect(fault.message).toContain("Cannot read properties of undefined (reading 'x')")
    if (debug) expect(fault.message).toContain('>> 4| <%= it.nope.x %>')
    else expect(fault).toBeInstanceOf(TypeError)
  })

  it('after a body is told with its own line', () => {
    const eta = etaOver(inMemory(), { debug: true })
    const template = '<% cache 9 a %>\nx\n<% endcache %>\n<%= it.nope.x %>'
    for (let i = 0; i < 2; i++) {
      expect(faultOf(() => eta.renderString(template, {})).message).toContain('>> 4|')
    }
  })

  it('is the very error that was thrown, for everyone who waited for the body', async () => {
    const error = new Error('mine')
    const eta = etaOver(farAway())
    const template = '<% cache 9 a %><% await null; throw it.error %><% endcache %>'
    const renders = [1, 2, 3].map(() => eta.renderStringAsync(template, { error }))
    for (const result of await Promise.allSettled(renders)) {
      expect(result).toEqual({ status: 'rejected', reason: error })
    }
    expect(await eta.renderStringAsync('<% cache 9 a %>fine<% endcache %>', {})).toBe('fine')
  })
})

describe('an asynchronous cache', () => {
  it('is refused in synchronous rendering, with what to call', () => {
    const fault = faultOf(() =>
      etaOver(farAway()).renderString('<% cache 9 a %><% endcache %>', {}),
    )
    expect(fault).toMatchObject({ line: 1, fragment: 'a', code: 'FRAGCACHE_TAG' })
    expect(fault.message).toMatch(/"default" answers asynchronously.*renderAsync.*includeAsync/)
  })

  it('is refused in a synchronous include of asynchronous rendering', async () => {
    const eta = etaOver(farAway())
    eta.loadTemplate('@part', '<% cache 9 a %>x<% endcache %>')
    eta.loadTemplate('@part', '<% cache 9 a %>x<% endcache %>', { async: true })
    const fault = await faultIn(eta.renderStringAsync(`<%~ include('@part') %>`, {}))
    expect(fault.message).toMatch(/includeAsync instead of include/)
    expect(await eta.renderStringAsync(`<%~ await includeAsync('@part') %>`, {})).toBe('x')
  })

  it.each([
    '<% it.xs.forEach((x) => { %><% cache 9 a x %>x<% endcache %><% }) %>',
    '<% it.xs.map(function (x) { %><% cache 9 a x %>x<% endcache %><% }) %>',
    '<% capture(() => { %><% cache 9 a %>x<% endcache %><% }) %>',
    '<% function row() { %><% cache 9 a %><%= it.f() %><% endcache %><% } %><% row() %>',
    '<% new (class { constructor() { %><% cache 9 a %>x<% endcache %><% } })() %>',
    '<% ({ get x() { %><% cache 9 a %>x<% endcache %><% } }).x %>',
    '<% ;[...(function* () { %><% cache 9 a %>x<% endcache %><% })()] %>',
    '<% await Promise.all(it.xs.map((x) => { %><% cache 9 a x %>x<% endcache %><% })) %>',
  ])('is refused in a function that is not async: %s', async (template) => {
    const cache = new AsyncTestCache()
    const eta = etaOver(createCaches({ default: cache }))
    const fault = await faultIn(eta.renderStringAsync(template, { xs: [1], f: () => 'f' }))
    expect(fault).toMatchObject({ line: 1, fragment: 'a', code: 'FRAGCACHE_TAG' })
    expect(fault.message).toMatch(/for\.\.\.of.*includeAsync or captureAsync/)
    expect(cache.reads).toBe(0)
  })

  it('is not asked, and so not refused, where the cache is not used', async () => {
    const template = '<% cache 9 a if=it.on %>x<% endcache %>'
    const eta = etaOver(farAway())
    expect(eta.renderString(template, { on: false })).toBe('x')
    const inCallback = `<% [1].forEach(() => { %>${template}<% }) %>`
    expect(await eta.renderStringAsync(inCallback, { on: false })).toBe('x')
  })
})

describe('what a hit would leave out', () => {
  it.each([
    [`<% cache 9 a %><% layout('@l') %><% endcache %>`, /layout\(\) is called inside/],
    [`<% layout('@l') %><% cache 9 a %><% block('b', () => {}) %><% endcache %>`, /block\(\)/],
    [`<% cache 9 a %><%~ block('b') %><% endcache %>`, /block\(\) is called inside/],
    [
      `<% layout('@l') %><% cache 9 a %><% capture(() => { %><% block('b', () => {}) %><% }) %><% endcache %>`,
      /block\(\)/,
    ],
    [`<% cache 9 a if=false %><% layout('@l') %><% endcache %>`, /layout\(\) is called inside/],
  ])('is refused: %s', (template, message) => {
    const eta = etaOver()
    eta.loadTemplate('@l', '<%~ it.body %>')
    const fault = faultOf(() => eta.renderString(template, {}))
    expect(fault.message).toMatch(message)
    expect(fault).toMatchObject({ fragment: 'a', line: 1 })
  })

  it('is refused in asynchronous rendering too', async () => {
    const eta = etaOver(farAway())
    const template = `<% layout('@l') %><% cache 9 a %><% await blockAsync('b', async () => {}) %><% endcache %>`
    expect((await faultIn(eta.renderStringAsync(template, {}))).message).toMatch(/block\(\)/)
  })

  it('is fine outside the tag, and in a variable of that name', () => {
    const eta = etaOver()
    eta.loadTemplate('@l', '<<%~ it.body %>>')
    expect(
      eta.renderString(
        `<% layout('@l') %><% cache 9 a %><% { const block = (x) => x %><%= block(1) %><% } %><% endcache %>`,
        {},
      ),
    ).toBe('<1>')
  })
})

describe('a keyword whose value is not there', () => {
  it.each([
    ['using', 'using is undefined; give the alias of a cache'],
    ['tags', 'tags is, or holds, undefined'],
    ['version', 'version is undefined'],
  ])('is refused: %s', (keyword, message) => {
    const template = `<% cache 9 a ${keyword}=it.nosuch %>x<% endcache %>`
    const fault = faultOf(() => etaOver().renderString(template, {}))
    expect(fault.message).toContain(message)
    expect(fault).toMatchObject({ fragment: 'a', line: 1 })
  })
})
