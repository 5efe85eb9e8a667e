import {
  createCaches,
  LocMemCache,
  makeTemplateFragmentKey,
  type Cache,
  type CacheTagError,
} from 'fragcache'
import { registerCache } from 'fragcache/nunjucks'
import nunjucks from 'nunjucks'
import { describe, expect, it } from 'vitest'
import { AsyncTestCache } from '../support/async-cache.js'
import { sources } from './nunjucks-driver.js'

type Templates = Readonly<Record<string, string>>

function setUp(templates: Templates, cache: Cache = new LocMemCache()) {
  const env = new nunjucks.Environment(sources(templates))
  env.addFilter(
    'late',
    (_text: string, done: (error: null, text: string) => void) => {
      setImmediate(() => done(null, 'late'))
    },
    true,
  )
  return { env, ...registerCache(env, createCaches({ default: cache })) }
}

/** What a template's render throws, the same in each way of rendering it. */
async function fault(templates: Templates, context: object = {}): Promise<CacheTagError> {
  const errors: unknown[] = []
  const { env } = setUp(templates)
  try {
    env.render('main', context)
  } catch (error) {
    errors.push(error)
  }
  for (const cache of [new LocMemCache(), new AsyncTestCache()]) {
    const { renderAsync } = setUp(templates, cache)
    await renderAsync('main', context).catch((error: unknown) => errors.push(error))
  }
  expect(errors).toHaveLength(3)
  const [first] = errors
  for (const error of errors) {
    expect(error).toMatchObject({ code: 'FRAGCACHE_TAG', message: (first as Error).message })
  }
  return first as CacheTagError
}

const END = '{% endnocache %}'

describe('a nocache tag that is written wrongly is told when its template is compiled', () => {
  it.each<[tag: string, says: RegExp]>([
    ['{% nocache 9 %}x' + END, /nocache is given "9" without a name/],
    ['{% nocache user %}x' + END, /nocache is given "user" without a name/],
    ['{% nocache %}x{% endnocache a %}', /endnocache takes no arguments, and is given "a"/],
    ['{% nocache %}x', /the endnocache is missing/],
    ['{% if a %}{% nocache %}x{% endif %}', /the endnocache is missing/],
    ['{% nocache', /the tag is not closed/],
    ['x' + END, /this endnocache has no nocache tag before it/],
    ['{% nocache %}{% if a %}' + END + '{% endif %}', /is inside/],
    [
      '{% cache 9 n %}{% nocache %}x{% endcache %}',
      /this endcache is inside the nocache tag of line 3/,
    ],
    ['{% nocache %}{% cache 9 n %}x' + END, /this endnocache is inside the cache tag of line 3/],
    ['{% nocache %}{% block b %}{% endblock %}' + END, /put the nocache tag inside the block/],
    [
      '{% block b %}{% nocache %}{{ super() }}' + END + '{% endblock %}',
      /super\(\) is called in this/,
    ],
    [
      '{% block b %}{% nocache %}{% cache 9 n %}{{ super() }}{% endcache %}' +
        END +
        '{% endblock %}',
      /super\(\) is called in this/,
    ],
    ['{% nocache %}{% extends "base" %}' + END, /an extends tag is in its body/],
    ['{% nocache %}{{ a | late }}' + END, /the filter "late" in its body is asynchronous/],
  ])('%s', async (tag, says) => {
    const error = await fault({ main: `one\n\n${tag}` })
    expect(error.message).toMatch(says)
    expect(error).toMatchObject({ template: 'main', line: 3 })
  })
})

/** Each has one name that its block uses and that is made in the cached body. */
const made: Readonly<Record<string, readonly [name: string, templates: Templates]>> = {
  'a loop variable': [
    'x',
    {
      main: '{% cache 9 n %}{% for x in xs %}{% nocache %}{{ x }}{% endnocache %}{% endfor %}{% endcache %}',
    },
  ],
  'one of a pair': [
    'b',
    {
      main: '{% cache 9 n %}{% for a, b in rows %}{% nocache %}{{ b }}{% endnocache %}{% endfor %}{% endcache %}',
    },
  ],
  loop: [
    'loop',
    {
      main: '{% cache 9 n %}{% for x in xs %}{% nocache %}{{ loop.index }}{% endnocache %}{% endfor %}{% endcache %}',
    },
  ],
  'a variable of asyncEach': [
    'x',
    {
      main: '{% cache 9 n %}{% asyncEach x in xs %}{% nocache %}{{ x }}{% endnocache %}{% endeach %}{% endcache %}',
    },
  ],
  'a variable that is set': [
    'y',
    {
      main: '{% cache 9 n %}{% if a %}{% set y = 1 %}{% endif %}{% nocache %}{{ y }}{% endnocache %}{% endcache %}',
    },
  ],
  'a variable that is set further down in the loop': [
    'y',
    {
      main: '{% cache 9 n %}{% for x in xs %}{% nocache %}{{ y }}{% endnocache %}{% set y = x %}{% endfor %}{% endcache %}',
    },
  ],
  'a set block': [
    'y',
    {
      main: '{% cache 9 n %}{% set y %}a{% endset %}{% nocache %}{{ y }}{% endnocache %}{% endcache %}',
    },
  ],
  'an argument of a macro inside': [
    'x',
    {
      main: '{% cache 9 n %}{% macro m(x) %}{% nocache %}{{ x }}{% endnocache %}{% endmacro %}{{ m(1) }}{% endcache %}',
    },
  ],
  'a macro inside': [
    'm',
    {
      main: '{% cache 9 n %}{% macro m() %}{% endmacro %}{% nocache %}{{ m() }}{% endnocache %}{% endcache %}',
    },
  ],
  'an import inside': [
    'f',
    {
      main: '{% cache 9 n %}{% import "forms" as f %}{% nocache %}{{ f.m() }}{% endnocache %}{% endcache %}',
      forms: '{% macro m() %}{% endmacro %}',
    },
  ],
  'an argument of a call block inside': [
    'x',
    {
      main: '{% macro m() %}{{ caller(1) }}{% endmacro %}{% cache 9 n %}{% call(x) m() %}{% nocache %}{{ x }}{% endnocache %}{% endcall %}{% endcache %}',
    },
  ],
  'what a switch, an inner tag and an argument of its own hide': [
    'x',
    {
      main: '{% for x in xs %}{% cache 9 n %}{% switch x %}{% case "a" %}{% for x in xs %}{% cache 9 m %}{% nocache %}{% cache 9 o x %}{% endcache %}{% endnocache %}{% endcache %}{% endfor %}{% endswitch %}{% endcache %}{% endfor %}',
    },
  ],
  'the caller of the macro around': [
    'caller',
    {
      main: '{% macro m() %}{% cache 9 n %}{% nocache %}{{ caller() }}{% endnocache %}{% endcache %}{% endmacro %}{% call m() %}{% endcall %}',
    },
  ],
}

describe('a nocache block that uses what is made in its template is refused', () => {
  it.each(Object.entries(made))('when it is compiled: %s', async (_, [name, templates]) => {
    const main = templates['main'] as string
    const error = await fault({ ...templates, main: `\n${main}` }, { xs: [], rows: [] })
    expect(error.message).toContain(`this nocache block uses "${name}", which is made in`)
    expect(error).toMatchObject({ template: 'main', line: 2 })
  })

  it.each<[what: string, name: string, templates: Templates]>([
    [
      'a loop variable of an included template',
      'x',
      {
        main: '{% cache 9 n %}{% include "part" %}{% endcache %}',
        part: '\n{% for x in xs %}{% nocache %}{{ x }}{% endnocache %}{% endfor %}',
      },
    ],
    [
      'what an included template sets',
      'y',
      {
        main: '{% cache 9 n %}{% include "part" %}{% endcache %}',
        part: '{% set y = 1 %}\n{% nocache %}{{ y }}{% endnocache %}',
      },
    ],
    [
      'an argument of a macro outside',
      'x',
      {
        main: '{% macro m(x) %}\n{% nocache %}{{ x }}{% endnocache %}{% endmacro %}{% cache 9 n %}{{ m(1) }}{% endcache %}',
      },
    ],
    [
      'what is set at the top, in a block',
      'y',
      { main: '{% set y = 1 %}{% block b %}\n{% nocache %}{{ y }}{% endnocache %}{% endblock %}' },
    ],
    [
      'the name of a block around it',
      'y',
      {
        main: '{% nocache y=1 %}\n{% nocache %}{{ y }}{% endnocache %}{% endnocache %}',
      },
    ],
  ])('also where nothing in its template is kept: %s', async (_, name, templates) => {
    const error = await fault(templates, { xs: ['a'] })
    expect(error.message).toContain(`this nocache block uses "${name}"`)
    expect(error).toMatchObject({ line: 2 })
  })

  it('and nothing is stored then', async () => {
    const remote = new AsyncTestCache()
    const { renderAsync } = setUp(
      {
        main: '{% cache 9 n %}{% include "part" %}{% endcache %}',
        part: '{% set y = 1 %}{% nocache %}{{ y }}{% endnocache %}',
      },
      remote,
    )
    await expect(renderAsync('main')).rejects.toThrow(/uses "y"/)
    expect(await remote.has(makeTemplateFragmentKey('n'))).toBe(false)
  })
})

it('a macro sees the page’s context in its nocache block, also if it is imported without', async () => {
  const templates = {
    main: '{% import "forms" as forms %}{% cache 9 n %}{{ forms.m() }}{% endcache %}{{ forms.m() }}',
    forms: '{% macro m() %}{% nocache %}{{ user }}{% endnocache %}{% endmacro %}',
  }
  for (const cache of [new LocMemCache(), new AsyncTestCache()]) {
    const { renderAsync } = setUp(templates, cache)
    expect(await renderAsync('main', { user: 'ann' })).toBe('annann')
    expect(await renderAsync('main', { user: 'bob' })).toBe('bobbob')
  }
})

it('a block of a render of its own inside a cached body is refused', async () => {
  const { env, renderAsync } = setUp({
    main: '{% cache 9 n %}{{ inner() | safe }}{% endcache %}',
    part: '{% nocache %}{{ user }}{% endnocache %}',
  })
  env.addGlobal('inner', () => env.render('part', { user: 'other' }))
  await expect(renderAsync('main', { user: 'ann' })).rejects.toThrow(/by a render of its own/)
})

describe('the output of a nocache block inside a cached body', () => {
  const shapes: readonly [around: string, body: string][] = [
    ['a filter block', '{% filter upper %}{% nocache %}{{ user }}{% endnocache %}{% endfilter %}'],
    [
      'a filter',
      '{% set s %}<{% nocache %}{{ user }}{% endnocache %}>{% endset %}{{ s | length }}',
    ],
    ['escaping', '{% set s %}{% nocache %}{{ user }}{% endnocache %}{% endset %}{{ s }}'],
  ]
  it.each(shapes)('must not be altered by %s', async (_, body) => {
    const error = await fault({ main: `{% cache 9 n %}${body}{% endcache %}` }, { user: 'ann' })
    expect(error.message).toMatch(/the output of nocache was altered/)
    expect(error).toMatchObject({ template: 'main', line: 1 })
  })
})

describe('what a nocache block throws', () => {
  it.each<[where: string, templates: Templates]>([
    ['main', { main: '\n{% cache 9 n %}{% nocache %}{{ boom() }}{% endnocache %}{% endcache %}' }],
    [
      'part',
      {
        main: '{% cache 9 n %}{% include "part" %}{% endcache %}',
        part: '\n{% nocache %}{{ boom() }}{% endnocache %}',
      },
    ],
  ])('is told with its template and line: %s', async (where, templates) => {
    for (const cache of [new LocMemCache(), new AsyncTestCache()]) {
      const { renderAsync } = setUp(templates, cache)
      let calls = 0
      const boom = () => {
        if (++calls !== 2) throw new Error('no luck')
        return 'luck'
      }
      const told = new RegExp(`\\(${where}\\)[^]*no luck`)
      await expect(renderAsync('main', { boom })).rejects.toThrow(told)
      expect((await renderAsync('main', { boom })).trim()).toBe('luck')
      await expect(renderAsync('main', { boom })).rejects.toThrow(told)
    }
  })
})
