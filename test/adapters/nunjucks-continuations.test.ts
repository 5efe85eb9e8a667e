import { createCaches, LocMemCache } from 'fragcache'
import { registerCache } from 'fragcache/nunjucks'
import nunjucks from 'nunjucks'
import { describe, expect, it } from 'vitest'
import { evaluate } from '../conformance/fragment-suite.js'
import { AsyncTestCache } from '../support/async-cache.js'
import { sources } from './nunjucks-driver.js'

type Callback = (error: unknown, text?: unknown) => void
type Answer = (value: unknown, callback: Callback) => unknown

const { setTimeout: later } = globalThis

const stores = [
  ['local memory', () => new LocMemCache()],
  ['an asynchronous cache', () => new AsyncTestCache()],
] as const

/** How an asynchronous filter may answer. */
const answers: Readonly<Record<string, Answer>> = {
  'in a later turn': (value, callback) => later(callback, 1, null, value),
  'by a promise': async (value, callback) => {
    await Promise.resolve()
    callback(null, value)
  },
  'from an async function that did not wait': async (value, callback) => {
    callback(null, value)
  },
  'at once': (value, callback) => {
    callback(null, value)
  },
}

/** A tag `{% later VALUE %}` that shows its value in a later turn. */
class LaterTag {
  readonly tags = ['later']
  #shown = 0

  parse(parser: never, nodes: never): unknown {
    const { nextToken, parseSignature, advanceAfterBlockEnd } = parser as {
      nextToken(): { value: string }
      parseSignature(optional: null, noParentheses: boolean): unknown
      advanceAfterBlockEnd(name: string): void
    }
    const { value } = nextToken.call(parser)
    const values = parseSignature.call(parser, null, true)
    advanceAfterBlockEnd.call(parser, value)
    const { CallExtensionAsync } = nodes as {
      CallExtensionAsync: new (extension: unknown, method: string, values: unknown) => unknown
    }
    return new CallExtensionAsync(this, 'show', values)
  }

  show(_context: unknown, value: unknown, callback: Callback): void {
    this.#shown++
    later(callback, 1, null, value)
  }

  get shown(): number {
    return this.#shown
  }
}

/** Templates that go on in a later turn where a part is put in. */
const places: Readonly<Record<string, (part: string) => string>> = {
  'an asynchronous filter': (part) => `{{ 1 | slow }}${part}`,
  'two of them': (part) => `{{ 1 | slow }}{{ 2 | slow }}${part}`,
  'one that sets a variable': (part) => `{% set x = 1 | slow %}${part}`,
  'one in a condition': (part) => `{% if 1 | slow %}${part}{% endif %}`,
  'one in an asynchronous loop': (part) =>
    `{% asyncEach i in [1, 2] %}{{ i | slow }}${part}{% endeach %}`,
  'one in a parallel loop': (part) => `{% asyncAll i in [1, 2] %}{{ i | slow }}${part}{% endall %}`,
  'an asynchronous loop': (part) => `{% asyncEach i in [1] %}{{ i | slow }}{% endeach %}${part}`,
  'an asynchronous tag': (part) => `{% later 1 %}${part}`,
  'an include that waits': (part) => `{% include "waits" %}${part}`,
  'a block that waits': (part) => `{% block b %}{{ 1 | slow }}{% endblock %}${part}`,
  'one, in a set block': (part) => `{{ 1 | slow }}{% set x %}${part}{% endset %}{{ x | safe }}`,
  'one, in a macro': (part) => `{% macro m() %}${part}{% endmacro %}{{ 1 | slow }}{{ m() }}`,
}

/** Tags that fail, each by an error that its template throws at once where nothing waits before it. */
const faults: Readonly<Record<string, string>> = {
  'a timeout that is undefined': '{% cache missing b %}x{% endcache %}',
  'a value without a text': '{% cache 60 b fail %}x{% endcache %}',
  'a value that throws': '{% cache 60 b fail() %}x{% endcache %}',
  'a keyword that is undefined': '{% cache 60 b using=missing %}x{% endcache %}',
  'a body that throws': '{% cache 60 b %}{{ fail() }}{% endcache %}',
  'an include that throws in a body': '{% cache 60 b %}{% include "throws" %}{% endcache %}',
  'a nocache block that throws':
    '{% cache 60 b %}{% nocache %}{{ fail() }}{% endnocache %}{% endcache %}',
  'a tag that is written wrongly in an include': '{% include "wrong" %}',
}

function setUp(
  make: () => LocMemCache | AsyncTestCache,
  answer = answers['in a later turn'],
  templates = {},
) {
  const env = new nunjucks.Environment(
    sources({
      waits: '{{ 1 | slow }}',
      throws: '{{ fail() }}',
      wrong: '{% cache 60 %}x{% endcache %}',
      ...templates,
    }),
  )
  env.addFilter('slow', answer as Answer, true)
  const tag = new LaterTag()
  env.addExtension('later', tag)
  env.addGlobal('fail', () => {
    throw new Error('it failed')
  })
  return { env, tag, ...registerCache(env, createCaches({ default: make() })) }
}

/** What an error says, without the places that the engine tells of where it can. */
const essence = (error: unknown) =>
  (error as Error).message
    .split(/\n|render error: /)
    .at(-1)
    ?.trim()

describe.each(stores)('over %s', (_, make) => {
  describe.each(Object.entries(places))('after %s', (_name, place) => {
    it.each(Object.entries(faults))('%s reaches the caller', async (_fault, tag) => {
      const { renderStringAsync } = setUp(make)
      const expected = await renderStringAsync(tag).catch((error: unknown) => error)
      const told = await renderStringAsync(place(tag)).catch((error: unknown) => error)
      expect(told).toBeInstanceOf(Error)
      expect((told as Error).name).toBe((expected as Error).name)
      expect(essence(told)).toBe(essence(expected))
      expect(await renderStringAsync(place('{% cache 60 c %}fine{% endcache %}'))).toContain('fine')
    })
  })

  it.each(Object.entries(answers))(
    'an asynchronous filter that answers %s does not hide an error',
    async (_name, answer) => {
      const { renderStringAsync } = setUp(make, answer)
      await expect(
        renderStringAsync('{{ 1 | slow }}{% cache missing b %}x{% endcache %}'),
      ).rejects.toMatchObject({ code: 'FRAGCACHE_TAG' })
      await expect(renderStringAsync('{{ 1 | slow }}{{ fail() }}')).rejects.toThrow('it failed')
      expect(await renderStringAsync('{{ 1 | slow }}{% cache 60 b %}x{% endcache %}')).toBe('1x')
    },
  )

  it('an error after an asynchronous filter reaches the callback of render', async () => {
    const { env } = setUp(make, undefined, {
      main: '{% extends "base" %}{% block c %}{% cache missing b %}x{% endcache %}{% endblock %}',
      base: '{{ 1 | slow }}{% block c %}{% endblock %}',
    })
    const told = await new Promise((resolve) => {
      env.render('main', {}, (error, text) => resolve(error ?? text))
    })
    expect(told).toMatchObject({ code: 'FRAGCACHE_TAG' })
  })

  it('an error after an asynchronous loader reaches the caller', async () => {
    const fault = '{% cache 60 b fail() %}x{% endcache %}'
    const templates: Readonly<Record<string, string>> = {
      includes: `{% include "part" %}${fault}`,
      imports: '{% import "part" as part %}{{ part.m() }}',
      extends: `{% extends "part" %}${fault}`,
      fills: `{% extends "part" %}{% block b %}${fault}{% endblock %}`,
      part: `part{% macro m() %}${fault}{% endmacro %}{% block b %}{% endblock %}`,
    }
    const loader = {
      async: true,
      getSource(name: string, callback: Callback) {
        later(callback, 1, null, { src: templates[name], path: name, noCache: true })
      },
    }
    const env = new nunjucks.Environment(loader as never)
    const { renderAsync } = registerCache(env, createCaches({ default: make() }))
    const fail = () => {
      throw new Error('it failed')
    }
    env.addGlobal('fail', fail)
    for (const entry of ['includes', 'imports', 'extends', 'fills']) {
      await expect(renderAsync(entry), entry).rejects.toThrow('it failed')
    }
  })

  it('a filter that answers for many at once leaves each to its own render', async () => {
    const waiting: (() => void)[] = []
    const { renderStringAsync } = setUp(make, (value, callback) => {
      if (waiting.push(() => callback(null, value)) === 3) for (const go of waiting) go()
    })
    const page = '{{ n | slow }}{% cache 60 b n %}-{{ n }}{% endcache %}'
    const texts = await Promise.all([1, 2, 3].map((n) => renderStringAsync(page, { n })))
    expect(texts).toEqual(['1-1', '2-2', '3-3'])
  })
})

it('what goes on after a render has failed keeps nobody waiting', async () => {
  const caches = createCaches({ default: new LocMemCache(), remote: new AsyncTestCache() })
  const env = new nunjucks.Environment()
  const { renderStringAsync } = registerCache(env, caches)
  env.addFilter('wait', (ms: number, callback: Callback) => later(callback, ms, null, ''), true)
  env.addFilter('fail', (_: number, callback: Callback) => callback(new Error('it failed')), true)
  const body = '{% cache 60 b %}b{% cache 60 c using="remote" %}c{% endcache %}{% endcache %}'
  const page = `{% asyncAll ms in [20, 1] %}{{ ms | wait }}{% if ms == 1 %}{{ ms | fail }}{% endif %}${body}{% endall %}`
  await expect(renderStringAsync(page)).rejects.toThrow('it failed')
  await new Promise((resolve) => later(resolve, 40))
  expect(await renderStringAsync(body)).toBe('bc')
})

/**
 * Tags `{% now VALUES %}` and, with an asynchronous call of the same method, `{% late VALUES %}`; and
 * `{% lateBody %}...{% endlateBody %}`.
 */
const mixed = {
  tags: ['now', 'late', 'lateBody'],

  parse(parser: never, nodes: never): unknown {
    const { nextToken, parseSignature, parseUntilBlocks, advanceAfterBlockEnd } = parser as {
      nextToken(): { value: string }
      parseSignature(optional: true | null, noParentheses: boolean): unknown
      parseUntilBlocks(name: string): unknown
      advanceAfterBlockEnd(name?: string): void
    }
    const { value: tag } = nextToken.call(parser)
    const values = parseSignature.call(parser, tag === 'lateBody' ? true : null, true)
    advanceAfterBlockEnd.call(parser, tag)
    type Call = new (extension: unknown, method: string, ...rest: unknown[]) => unknown
    const { CallExtension, CallExtensionAsync } = nodes as Readonly<Record<string, Call>>
    if (tag === 'now') return new (CallExtension as Call)(mixed, 'sort', values)
    if (tag === 'late') return new (CallExtensionAsync as Call)(mixed, 'sort', values)
    const body = parseUntilBlocks.call(parser, 'endlateBody')
    advanceAfterBlockEnd.call(parser)
    return new (CallExtensionAsync as Call)('mixed', 'show', values, [body])
  },

  sort(_: unknown, list: unknown[], compare: never, callback?: Callback): unknown {
    const text = [...list].sort(compare).join()
    return callback === undefined ? text : later(callback, 1, null, text)
  },

  show(_: unknown, body: (callback: Callback) => void, callback: Callback): void {
    body((error, text) => later(callback, 1, error, text))
  },
}

const compareFunctions: Readonly<Record<string, (a: number, b: number) => number>> = {
  'two parameters': (a, b) => b - a,
  'rest parameters': (...both) => both[1] - both[0],
}

it('an asynchronous filter that is called as a synchronous one is given functions that answer', async () => {
  const env = new nunjucks.Environment(null)
  const sorted = (list: number[], compare: never, callback?: Callback) =>
    callback === undefined ? [...list].sort(compare).join() : callback(null, 'called back')
  env.addFilter('sorted', sorted as never, true)
  // The engine knows how to wait in few places; this is none.
  const source = '{% switch [1, 3, 2] | sorted(compare) %}{% case "3,2,1" %}yes{% endswitch %}'
  const context = { compare: compareFunctions['two parameters'] }
  expect(env.renderString(source, context)).toBe('yes')
  const { renderStringAsync } = registerCache(env, createCaches({ default: new LocMemCache() }))
  expect(await renderStringAsync(source, context)).toBe('yes')
})

describe('the tags of other extensions', () => {
  const plain = (): nunjucks.Environment => {
    const env = new nunjucks.Environment(null)
    env.addExtension('mixed', mixed)
    env.addGlobal('fail', () => {
      throw new Error('it failed')
    })
    return env
  }
  const withCache = () => {
    const env = plain()
    return { env, ...registerCache(env, createCaches({ default: new LocMemCache() })) }
  }
  const precompile = (source: string, env: nunjucks.Environment) => {
    const code = nunjucks.precompileString(source, {
      name: 'main',
      env,
      // Its types say that it gets one.
      wrapper: (list) => (list as unknown as { template: string }[])[0]?.template ?? '',
    })
    return { type: 'code', obj: evaluate<() => unknown>(`() => {'use strict';${code}}`)() }
  }
  const render = (env: nunjucks.Environment, template: unknown, context: object) =>
    new Promise((resolve, reject) => {
      const made = new nunjucks.Template(template as never, env, 'main')
      const done = (error: Error | null, text: unknown) => (error ? reject(error) : resolve(text))
      made.render(context, done)
    })

  const sorts = '{% now [1, 3, 2], compare %};{% late [1, 3, 2], compare %};{% now [1, 3, 2] %}'

  it.each(Object.entries(compareFunctions))(
    'are given functions of %s as without the cache',
    async (_name, compare) => {
      const expected = await render(plain(), sorts, { compare })
      expect(expected).toBe('3,2,1;3,2,1;1,2,3')
      expect(await withCache().renderStringAsync(sorts, { compare })).toBe(expected)
    },
  )

  it('are given the very functions of the context', () => {
    const given: unknown[] = []
    const env = plain()
    registerCache(env, createCaches({ default: new LocMemCache() }))
    const { sort } = mixed
    const compare = (a: number, b: number) => b - a
    try {
      mixed.sort = (_, __, ...rest: unknown[]) => given.push(...rest)
      env.renderString('{% now [1], compare %}', { compare })
    } finally {
      mixed.sort = sort
    }
    expect(given).toEqual([compare])
    expect(given[0]).toBe(compare)
  })

  it('precompiled, are given functions as without the cache', async () => {
    const compare = compareFunctions['two parameters']
    const expected = await render(plain(), sorts, { compare })
    for (const builder of [plain(), withCache().env]) {
      const template = precompile(sorts, builder)
      for (const env of [plain(), withCache().env]) {
        expect(await render(env, template, { compare })).toBe(expected)
      }
    }
  })

  it('hand on errors that follow an asynchronous tag', async () => {
    const { env, renderStringAsync } = withCache()
    for (const fault of ['{{ fail() }}', '{% cache 60 b fail() %}x{% endcache %}']) {
      for (const source of [
        `{% late [2, 1], compare %}${fault}`,
        `{% now [2, 1], compare %}{% late [2, 1], compare %}{% now [2, 1], compare %}${fault}`,
        `{% lateBody %}${fault}{% endlateBody %}`,
        `{% lateBody %}{% late [2, 1], compare %}${fault}{% endlateBody %}`,
        `{% lateBody %}x{% endlateBody %}${fault}`,
        `{% if true %}{% for i in [1] %}{% late [2, 1], compare %}${fault}{% endfor %}{% endif %}`,
      ]) {
        const context = { compare: compareFunctions['two parameters'] }
        await expect(renderStringAsync(source, context), source).rejects.toThrow('it failed')
        const template = precompile(source, env)
        await expect(render(env, template, context), source).rejects.toThrow('it failed')
      }
    }
  })

  it('are handed out as they were added', () => {
    const env = plain()
    registerCache(env, createCaches({ default: new LocMemCache() }))
    const tag = new LaterTag()
    env.addExtension('later', tag)
    expect(env.getExtension('mixed')).toBe(mixed)
    expect(env.getExtension('later')).toBe(tag)
  })

  it('work as without the cache', async () => {
    const { env, tag, renderStringAsync } = setUp(() => new LocMemCache())
    expect(await renderStringAsync('{% later "a" %}{% later "b" %}')).toBe('ab')
    expect(tag.shown).toBe(2)
    expect(env.hasExtension('later')).toBe(true)
    expect(env.getExtension('later')).toBeInstanceOf(LaterTag)
    env.removeExtension('later')
    await expect(renderStringAsync('{% later "a" %}')).rejects.toThrow('unknown block tag: later')
    const other = new LaterTag()
    env.addExtension('later', other)
    expect(await renderStringAsync('{% later "a" %}')).toBe('a')
    expect([tag.shown, other.shown]).toEqual([2, 1])
  })
})
