import { createCaches, LocMemCache } from 'fragcache'
import { registerCache } from 'fragcache/nunjucks'
import nunjucks from 'nunjucks'
import { describe, expect, it } from 'vitest'
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

describe('the tags of other extensions', () => {
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
