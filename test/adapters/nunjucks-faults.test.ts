import { CacheTagError, createCaches, LocMemCache } from 'fragcache'
import { registerCache } from 'fragcache/nunjucks'
import nunjucks from 'nunjucks'
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest'
import { countBodies } from '../conformance/fragment-suite.js'
import { AsyncTestCache } from '../support/async-cache.js'
import { sources } from './nunjucks-driver.js'
import { coreOf } from '../../src/backend/core.js'

type Templates = Readonly<Record<string, string>>

function environment(templates: Templates, config: nunjucks.ConfigureOptions = {}) {
  const caches = { default: new LocMemCache(), remote: new AsyncTestCache() }
  const env = new nunjucks.Environment(sources(templates), config)
  return { env, caches, ...registerCache(env, createCaches(caches)) }
}

async function failure(render: () => unknown): Promise<Error> {
  try {
    await render()
  } catch (error) {
    return error as Error
  }
  throw new Error('nothing was thrown')
}

/** What the ways of rendering throw: at once, by callback, and over an asynchronous cache. */
async function failures(
  templates: Templates,
  context: object = {},
  config: nunjucks.ConfigureOptions = {},
): Promise<Error[]> {
  const env = new nunjucks.Environment(sources(templates), config)
  registerCache(env, createCaches({ default: new LocMemCache() }))
  const other = new nunjucks.Environment(sources(templates), config)
  const { renderAsync } = registerCache(other, createCaches({ default: new AsyncTestCache() }))
  return [
    await failure(() => env.render('main', context)),
    await failure(
      () =>
        new Promise((resolve, reject) => {
          env.render('main', context, (error, text) => (error ? reject(error) : resolve(text)))
        }),
    ),
    await failure(() => renderAsync('main', context)),
  ]
}

/** The one fault of a template, the same in each way of rendering. */
async function fault(
  source: string | Templates,
  context: object = {},
  config: nunjucks.ConfigureOptions = {},
): Promise<CacheTagError> {
  const templates = typeof source === 'string' ? { main: source } : source
  const [first, ...others] = await failures(templates, context, config)
  expect(first).toBeInstanceOf(CacheTagError)
  for (const other of others)
    expect({ ...other, message: other.message }).toEqual({ ...first, message: first?.message })
  expect(first).toMatchObject({ code: 'FRAGCACHE_TAG', name: 'CacheTagError' })
  return first as CacheTagError
}

const BODY = '%}x{% endcache %}'

afterEach(() => {
  vi.restoreAllMocks()
})

describe('a tag that is written wrongly is told when its template is compiled', () => {
  it.each<[tag: string, says: RegExp]>([
    ['{% cache 9 ' + BODY, /needs a timeout and a fragment name/],
    ['{% cache ' + BODY, /needs a timeout and a fragment name/],
    ['{% cache 9 using="local" ' + BODY, /needs a timeout and a fragment name/],
    ['{% cache 9 "" ' + BODY, /the fragment name is ""/],
    ['{% cache 1.5 n ' + BODY, /the timeout is 1\.5; give whole seconds, or none for never/],
    ['{% cache "soon" n ' + BODY, /the timeout is "soon"/],
    ['{% cache 9 n a + b ' + BODY, /the operator "\+".*parentheses/],
    ['{% cache 9 n a and b ' + BODY, /the operator "and".*parentheses/],
    ['{% cache 9 n not a ' + BODY, /the operator "not"/],
    ['{% cache 9 n a == b ' + BODY, /the operator "=="/],
    ['{% cache 9 n a if b else c ' + BODY, /the operator "if"/],
    ['{% cache 9, n, ' + BODY, /nothing between two commas, or after the last one/],
    ['{% cache 9, n, a b ' + BODY, /a comma is missing in "a b"/],
    ['{% cache 9 n user. ' + BODY, /the argument "user\." cannot be read.*got the end/],
    ['{% cache 9 n (a ' + BODY, /the bracket \( is not closed/],
    ['{% cache 9 n a) ' + BODY, /a bracket before "\)" is not closed/],
    ["{% cache 9 n it's " + BODY, /the text that begins with ' is not closed/],
    ['{% cache 9 n a', /the tag is not closed/],
    ['{% cache 9 n using="a" b ' + BODY, /"b" comes after a keyword/],
    ['{% cache 9 n using="a" using="b" ' + BODY, /"using" is given twice/],
    ['{% cache 9 n using= ' + BODY, /"using" has no value/],
    ['{% cache 9 n colour="red" ' + BODY, /unknown keyword "colour"; the keywords are using, tags/],
    ['{% cache 9 n %}x', /the endcache is missing/],
    ['{% cache 9 n %}x{% endcahe %}', /the endcache is missing; "endcahe" is in its place/],
    [
      '{% for i in [1] %}{% cache 9 n %}x{% endfor %}',
      /the endcache is missing; "endfor" is in its place/,
    ],
    ['{% if a %}{% cache 9 n %}x{% else %}y{% endif %}', /the endcache is missing/],
    ['{% cache 9 n %}{% cache 9 m %}x{% endcache %}', /the endcache is missing/],
    ['x{% endcache %}', /this endcache has no cache tag before it/],
    ['{% if a %}{% endcache %}{% endif %}', /this endcache has no cache tag before it/],
    ['{% cache 9 n %}{% if a %}{% endcache %}{% endif %}', /is inside another tag/],
    ['{% cache 9 n %}x{% endcache m %}', /this endcache names "m"/],
    ['{% cache 9 "n m" %}x{% endcache n %}', /this endcache names "n"/],
    ['{% cache 9 n %}{% extends "base" %}{% endcache %}', /an extends tag is in its body/],
  ])('%s', async (tag, says) => {
    const error = await fault(`one\n\n${tag}`)
    expect(error.message).toMatch(says)
    expect(error.message).toMatch(/^cache tag \(main, line 3/)
    expect(error).toMatchObject({ template: 'main', line: 3 })
  })

  it('with the line of the tag that lacks its end, not of the place where that is noticed', async () => {
    const error = await fault('\n{% cache 9 outer %}\n{% cache 9 inner %}\n\n{% endcache %}\n\n')
    expect(error).toMatchObject({ line: 2, fragment: 'outer' })
  })

  it('with the line of the end that names another fragment', async () => {
    const error = await fault('\n{% cache 9 n %}\n\n{% endcache m %}')
    expect(error).toMatchObject({ line: 4, fragment: 'n' })
  })

  it.each<[keyword: string, value: string, says: RegExp]>([
    ['lock', '1', /lock is 1/],
    ['lock', 'missing', /lock is undefined/],
    ['staleWhileRevalidate', '"soon"', /staleWhileRevalidate is "soon"/],
    ['staleWhileRevalidate', 'missing', /staleWhileRevalidate is undefined/],
    ['staleIfError', '-1', /staleIfError is -1/],
    ['staleIfError', 'missing', /staleIfError is undefined/],
  ])('and the value of %s=%s when it is rendered', async (keyword, value, says) => {
    const error = await fault(`{% cache 9 n ${keyword}=${value} ${BODY}`)
    expect(error.message).toMatch(says)
    expect(error).toMatchObject({ template: 'main', line: 1, fragment: 'n' })
  })

  it('and an end with the right name is fine', () => {
    const { env } = environment({
      main: '{% cache 9 n %}a{% endcache n %}{%- cache 9 "a b" %}b{% endcache "a b" -%} {% cache 9 c %}c{%- endcache \'c\' %}',
    })
    vi.spyOn(process, 'emitWarning').mockReturnValue()
    expect(env.render('main')).toBe('abc')
  })

  it('in whichever template it is', async () => {
    const bad = '\n{% cache 9 %}'
    const included = await fault({ main: '{% include "part" %}', part: bad })
    const extended = await fault({ main: '{% extends "base" %}', base: bad })
    const imported = await fault({ main: '{% import "macros" as m %}', macros: bad })
    expect([included, extended, imported].map(({ template, line }) => [template, line])).toEqual([
      ['part', 2],
      ['base', 2],
      ['macros', 2],
    ])
  })
})

describe('a value that the tag cannot use is told when it is rendered', () => {
  class Box {
    readonly content = 1
  }

  it.each<[args: string, context: object, says: RegExp]>([
    ['t n', {}, /the timeout is undefined; give whole seconds, or none for never/],
    ['t n', { t: 1.5 }, /the timeout is 1\.5/],
    ['t n', { t: '1.5' }, /the timeout is "1\.5"/],
    ['t n', { t: '' }, /the timeout is ""/],
    ['t n', { t: 'soon' }, /the timeout is "soon"/],
    ['true n', {}, /the timeout is true/],
    ['t n', { t: false }, /the timeout is false/],
    ['t n', { t: NaN }, /the timeout is NaN/],
    ['t n', { t: Infinity }, /the timeout is Infinity/],
    ['t n', { t: [60] }, /the timeout is an object \(Array\)/],
    ['t n', { t: () => 60 }, /the timeout is a function/],
    ['9 n using="nope"', {}, /unknown cache "nope"; the caches are "default"/],
    ['9 n using=u', { u: 7 }, /using is 7; give the alias of a cache/],
    ['9 n using=u', { u: '' }, /using is ""/],
    ['9 n using=u', { u: null }, /using is null/],
    ['9 n using=u', {}, /using is undefined/],
    ['9 n tags=u', { u: 7 }, /tags is, or holds, 7/],
    ['9 n tags=u', { u: ['a', ''] }, /tags is, or holds, ""/],
    ['9 n tags=u', {}, /tags is, or holds, undefined/],
    ['9 n tags=[u]', {}, /tags is, or holds, undefined/],
    ['9 n version=u', { u: {} }, /version is an object/],
    ['9 n version=u', {}, /version is undefined/],
    [
      '9 n u',
      { u: new Map() },
      /an object \(Map\) has no text of its own; give a value such as its id/,
    ],
    ['9 n u', { u: new Box() }, /an object \(Box\) has no text of its own/],
    ['9 n u', { u: () => 1 }, /a function has no text/],
    ['9 n u', { u: Symbol('s') }, /Symbol\(s\) has no text/],
    ['9 n u', { u: '\ud800' }, /lone surrogate/],
    ['9 n u', { u: new Date(NaN) }, /an invalid date has no text/],
  ])('%s in %o', async (args, context, says) => {
    const error = await fault(`\n\n{% cache ${args} ${BODY}`, context)
    expect(error.message).toMatch(says)
    expect(error.message).toMatch(/^cache tag \(main, line 3, fragment "n"\): /)
    expect(error).toMatchObject({ template: 'main', line: 3, fragment: 'n' })
  })

  it('in whichever template it is, also where that one extends another', async () => {
    const bad = '\n{% cache t n %}x{% endcache %}'
    const nested = { main: '{% include "outer" %}', outer: '{% include "part" %}', part: bad }
    const included = await fault(nested)
    const extended = await fault({ main: '{% extends "base" %}', base: bad })
    const block = await fault({
      main: `{% extends "base" %}{% block c %}${bad}{% endblock %}`,
      base: '{% block c %}{% endblock %}',
    })
    const macro = await fault({
      main: '{% import "macros" as m %}{{ m.f() }}',
      macros: `{% macro f() %}${bad}{% endmacro %}`,
    })
    const inside = await fault({
      main: '{% cache 9 o %}{% include "part" %}{% endcache %}',
      part: bad,
    })
    const places = [included, extended, block, macro, inside]
    expect(places.map(({ template, line }) => [template, line])).toEqual([
      ['part', 2],
      ['base', 2],
      ['main', 2],
      ['macros', 2],
      ['part', 2],
    ])
  })

  it('and with the option dev just so', async () => {
    expect(await fault(`{% cache t n ${BODY}`, {}, { dev: true })).toMatchObject({ line: 1 })
  })

  it('never as an old error of another place with the same words', async () => {
    const { env } = environment({ main: '{{ f() }}' })
    const f = () => {
      throw new Error('CacheTagError: something of my own')
    }
    const error = await failure(() => env.render('main', { f }))
    expect(error.message).toMatch(/something of my own$/)
    expect(error).not.toHaveProperty('code')
  })
})

describe('synchronous rendering over an asynchronous cache', () => {
  const says =
    /^cache tag \(.*fragment "n"\): the cache "remote" answers asynchronously.*renderAsync.*callback/

  it('says what to call instead', async () => {
    const source = '{% cache 9 n using="remote" %}x{% endcache %}'
    const { env } = environment({ main: source })
    for (const render of [
      () => env.render('main'),
      () => env.renderString(source, {}),
      () => env.getTemplate('main').render(),
    ]) {
      const error = await failure(render)
      expect(error).toBeInstanceOf(CacheTagError)
      expect(error.message).toMatch(says)
    }
  })

  it('works for a tag that the condition leaves uncached', () => {
    const { env } = environment({ main: '{% cache 9 n using="remote" if=false %}x{% endcache %}' })
    expect(env.render('main')).toBe('x')
  })
})

describe('an error in a body', () => {
  const boom = () => {
    throw new Error('boom')
  }
  const cases: Readonly<Record<string, readonly [with_: Templates, without: Templates]>> = {
    'a function that throws': [
      { main: 'a\n{% cache 9 n %}\n\n {{ f() }}{% endcache %}' },
      { main: 'a\n\n\n {{ f() }}' },
    ],
    'a function that is missing': [
      { main: 'a\n{% cache 9 n %}\n\n {{ g() }}{% endcache %}' },
      { main: 'a\n\n\n {{ g() }}' },
    ],
    'a filter that is missing, after a call': [
      { main: '\n{{ ok() }}{% cache 9 n %}\n\n {{ g | nofilter }}{% endcache %}{{ ok() }}' },
      { main: '\n{{ ok() }}\n\n {{ g | nofilter }}{{ ok() }}' },
    ],
    'a macro that throws': [
      {
        main: '{% macro m() %}\n{{ f() }}{% endmacro %}\n{% cache 9 n %}\n{{ m() }}{% endcache %}',
      },
      { main: '{% macro m() %}\n{{ f() }}{% endmacro %}\n\n{{ m() }}' },
    ],
  }

  it.each(Object.entries(cases))(
    '%s: the engine’s own message and line',
    async (_, [tagged, plain]) => {
      const context = { f: boom, ok: () => 'ok' }
      for (const dev of [false, true]) {
        const env = new nunjucks.Environment(sources(plain), { dev })
        const expected = (await failure(() => env.render('main', context))).message
        expect(expected).toMatch(/\[Line \d+, Column \d+\]/)
        for (const { message, name } of await failures(tagged, context, { dev })) {
          expect(message).toBe(expected)
          expect(name).toBe('Template render error')
        }
      }
    },
  )

  it('in an include names both templates, once', async () => {
    const templates = {
      main: '{% cache 9 n %}{% include "part" %}{% endcache %}',
      part: '\n{{ f() }}',
    }
    for (const { message } of await failures(templates, { f: boom })) {
      expect(message.match(/\(main\)/g)).toHaveLength(1)
      expect(message.match(/\(part\) \[Line 1, Column 4\]/g)).toHaveLength(1)
      expect(message).toMatch(/Error: boom$/)
    }
  })

  it('keeps its cause where the engine’s own would be lost', async () => {
    const [, , late] = await failures(
      { main: '{% cache 9 n %}{{ f() }}{% endcache %}' },
      { f: boom },
    )
    let cause: unknown = late
    while (cause instanceof Error && cause.message !== 'boom') cause = cause.cause
    expect(cause).toBeInstanceOf(Error)
  })

  const broken: Readonly<Record<string, Templates>> = {
    'a function': { main: '{% cache 9 n %}a{{ f() }}{% endcache %}' },
    'an include that is missing': { main: '{% cache 9 n %}a{% include "nowhere" %}{% endcache %}' },
    'an include that throws': {
      main: '{% cache 9 n %}a{% include "part" %}{% endcache %}',
      part: '{{ f() }}',
    },
    'an include in a macro around': {
      main: '{% macro m() %}a{% include "nowhere" %}b{% endmacro %}{% cache 9 n %}{{ m() }}{% endcache %}',
    },
    'an include in an imported macro': {
      main: '{% import "macros" as m %}{% cache 9 n %}{{ m.f() }}{% endcache %}',
      macros: '{% macro f() %}a{% include "nowhere" %}b{% endmacro %}',
    },
    'an import that is missing': {
      main: '{% cache 9 n %}a{% import "nowhere" as m %}{% endcache %}',
    },
    'a name that is not there to import': {
      main: '{% cache 9 n %}a{% from "macros" import nothing %}{% endcache %}',
      macros: '',
    },
    'a block of the parent': {
      main: '{% extends "base" %}{% block c %}{% cache 9 n %}a{{ super() }}{% endcache %}{% endblock %}',
      base: '{% block c %}{{ f() }}{% endblock %}',
    },
    'a fragment inside': {
      main: '{% cache 9 n %}a{% cache 9 m %}{{ f() }}{% endcache %}{% endcache %}',
    },
  }

  it.each(Object.entries(broken))('stores nothing: %s', async (_, templates) => {
    for (const cache of [new LocMemCache(), new AsyncTestCache()]) {
      const caches = createCaches({ default: cache })
      const env = new nunjucks.Environment(sources(templates))
      const { renderAsync } = registerCache(env, caches)
      const set = vi.spyOn(coreOf(cache), 'tryStore')
      await failure(() => renderAsync('main', { f: boom }))
      if (cache instanceof LocMemCache) await failure(() => env.render('main', { f: boom }))
      expect(set).not.toHaveBeenCalled()
    }
  })

  it('that a function of the application catches is none of the body’s', async () => {
    for (const cache of [new LocMemCache(), new AsyncTestCache()]) {
      const env = new nunjucks.Environment(
        sources({ part: '{{ f() }}', main: '{% cache 9 n %}{{ attempt() }}{% endcache %}' }),
      )
      const { renderAsync } = registerCache(env, createCaches({ default: cache }))
      const attempt = () => {
        try {
          return env.render('part', { f: boom })
        } catch {
          return 'failed'
        }
      }
      for (const bodyRuns of [1, 0]) {
        expect(await countBodies(() => renderAsync('main', { attempt }))).toEqual({
          outcome: 'failed',
          bodyRuns,
        })
      }
    }
  })
})

it('what a body would export cannot be imported, cold or warm', async () => {
  const { env } = environment({
    main: '{% from "macros" import m %}{{ m() }}',
    macros: '{% cache 9 n %}{% macro m() %}m{% endmacro %}{% endcache %}',
  })
  for (let i = 0; i < 2; i++) {
    expect((await failure(() => env.render('main'))).message).toMatch(/cannot import 'm'/)
  }
})

describe('what answers asynchronously in a body', () => {
  const templates = {
    filter: '\n{% cache 9 n %}{{ x | later }}{% endcache %}',
    nested:
      '\n{% cache 9 n %}{% for i in [1] %}{% if x | later %}y{% endif %}{% endfor %}{% endcache %}',
    set: '\n{% cache 9 n %}{% set y %}{{ x | later }}{% endset %}{% endcache %}',
    switch:
      '\n{% cache 9 n %}{% switch x %}{% case 1 %}{{ x | later }}{% endswitch %}{% endcache %}',
    block: '\n{% cache 9 n %}{% block c %}{{ x | later }}{% endblock %}{% endcache %}',
    include: '\n{% cache 9 n %}{% include "part" %}{% endcache %}',
    part: '{{ x | later }}',
    child:
      '{% extends "parent" %}{% block c %}{% cache 9 n %}{{ super() }}{% endcache %}{% endblock %}',
    parent: '{% block c %}{{ x | later }}{% endblock %}',
    around: '{% set y = x | later %}{% cache 9 n y %}{{ y }}{% endcache %}',
  }
  let env: nunjucks.Environment
  let renderAsync: (name: string, context: object) => Promise<string>
  beforeEach(() => {
    env = new nunjucks.Environment(sources(templates))
    env.addFilter(
      'later',
      (value: unknown, done: (error: null, result: unknown) => void) => {
        setTimeout(() => done(null, value), 1)
      },
      true,
    )
    ;({ renderAsync } = registerCache(env, createCaches({ default: new AsyncTestCache() })))
  })

  it.each(['filter', 'nested', 'set', 'switch', 'block'])('%s: is told by name', async (name) => {
    const error = await failure(() => renderAsync(name, { x: 1 }))
    expect(error.message).toMatch(
      /line 2, fragment "n"\): the filter "later" in its body is asynchronous; set a variable/,
    )
    expect(error).toMatchObject({ code: 'FRAGCACHE_TAG', template: name })
  })

  it('in an include is told when it is rendered, and nothing is stored', async () => {
    for (let i = 0; i < 2; i++) {
      const error = await failure(() => renderAsync('include', { x: 1 }))
      expect(error.message).toMatch(/line 2, fragment "n"\): its body did not end at once/)
      expect(error).toMatchObject({ code: 'FRAGCACHE_TAG', template: 'include' })
    }
  })

  it('in the parent’s block is told too', async () => {
    const error = await failure(() => renderAsync('child', { x: 1 }))
    expect(error.message).toMatch(/line 1, fragment "n"\): its body did not end at once/)
  })

  it('works around the tag, as it says', async () => {
    expect(await renderAsync('around', { x: 4 })).toBe('4')
    expect(await renderAsync('around', { x: 4 })).toBe('4')
  })

  it('is told of another extension’s tag', async () => {
    class Later {
      readonly tags = ['later']

      parse(
        parser: { nextToken(): { value: string }; advanceAfterBlockEnd(name: string): void },
        nodes: Record<string, new (...args: unknown[]) => unknown>,
      ): unknown {
        parser.advanceAfterBlockEnd(parser.nextToken().value)
        return new nodes['CallExtensionAsync']!(this, 'run', new nodes['NodeList']!())
      }

      run(_context: unknown, done: (error: null, text: string) => void): void {
        setTimeout(() => done(null, 'x'), 1)
      }
    }
    env.addExtension('later', new Later())
    const error = await failure(() => {
      env.renderString('{% cache 9 n %}{% later %}{% endcache %}', {})
    })
    expect(error.message).toMatch(/fragment "n"\): an asynchronous tag of another extension/)
  })
})
