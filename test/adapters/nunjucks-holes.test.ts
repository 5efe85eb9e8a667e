import { createCaches, FragmentCache, LocMemCache, type Cache } from 'fragcache'
import { FileBasedCache } from 'fragcache/file'
import { registerCache } from 'fragcache/nunjucks'
import nunjucks from 'nunjucks'
import { describe, expect, it } from 'vitest'
import { evaluate } from '../conformance/fragment-suite.js'
import { AsyncTestCache } from '../support/async-cache.js'
import { sources } from './nunjucks-driver.js'
import { folderOfTest } from '../support/folders.js'

type Templates = Readonly<Record<string, string>>

const withoutTags = (templates: Templates): Templates =>
  Object.fromEntries(
    Object.entries(templates).map(([name, source]) => [
      name,
      source
        .replace(/\{% nocache (\w.*?) %\}/g, (_, values: string) =>
          values.replace(/([\w]+=[\w.]+),? ?/g, '{% set $1 %}'),
        )
        .replace(/\{% (?:end)?(?:no)?cache.*?%\}/gs, ''),
    ]),
  )

const caches: Readonly<Record<string, () => Cache>> = {
  'local memory': () => new LocMemCache(),
  'an asynchronous cache': () => new AsyncTestCache(),
  files: () => new FileBasedCache({ location: folderOfTest() }),
}

/** Renders for one visitor after another, each with a context of their own. */
async function visit(
  templates: Templates,
  contexts: readonly object[],
  cache: Cache,
  isSync = false,
): Promise<string[]> {
  const env = new nunjucks.Environment(sources(templates))
  env.addGlobal('shout', (text: string) => `${text}!`)
  const all = createCaches({ default: cache, near: new LocMemCache() })
  const { renderAsync } = registerCache(env, all)
  const texts: string[] = []
  for (const context of contexts) {
    texts.push(isSync ? env.render('main', context) : await renderAsync('main', context))
  }
  await all.close()
  return texts
}

const visitors = ['ann', 'bob', '<eve>'].map((user) => ({
  user,
  csrf: `token of ${user}`,
  xs: ['x', 'y'],
  rows: [
    ['r', 1],
    ['s', 2],
  ],
}))

/** Templates whose cached parts are the same for all, so that without the tags they give the same. */
const same: Readonly<Record<string, Templates>> = {
  'in a cached body': {
    main: '{% cache 60 a %}Hello {% nocache %}{{ user }}{% endnocache %}, {{ xs | join }}{% endcache %}',
  },
  'at both ends of it, and alone in it': {
    main: '{% cache 60 a %}{% nocache %}{{ user }}{% endnocache %}-{% nocache %}{{ csrf }}{% endnocache %}{% endcache %}{% cache 60 b %}{% nocache %}{{ user }}{% endnocache %}{% endcache %}',
  },
  'that is empty': { main: '{% cache 60 a %}a{% nocache %}{% endnocache %}b{% endcache %}' },
  'in a loop inside, with variables from outside': {
    main: '{% cache 60 a %}{% for x in xs %}<{{ x }}{% nocache %}{{ csrf }}{% endnocache %}>{% endfor %}{% endcache %}',
  },
  'in a tag in a loop, with its variables': {
    main: '{% for x in xs %}{% cache 60 a x %}<{{ x }}{% nocache x=x, index=loop.index %}{{ x }}{{ index }}{{ user }}{% endnocache %}>{% endcache %}{% endfor %}',
  },
  'in a tag in a loop over pairs, with their variables': {
    main: '{% for a, b in rows %}{% cache 60 a a %}{{ b }}{% nocache a=a b=b %}{{ a }}{{ b }}{{ user }}{% endnocache %}{% endcache %}{% endfor %}',
  },
  'in a tag in asyncEach, with its variable': {
    main: '{% asyncEach x in xs %}{% cache 60 a x %}{% nocache x=x %}{{ x }}{{ user }}{% endnocache %}{% endcache %}{% endeach %}',
  },
  'in a tag in a tag': {
    main: '{% cache 60 a %}A{% cache 60 b %}B{% nocache %}{{ user }}{% endnocache %}b{% endcache %}{% nocache %}{{ csrf }}{% endnocache %}a{% endcache %}',
  },
  'with a tag inside': {
    main: '{% cache 60 a %}A{% nocache %}{{ user }}{% cache 60 b user %}for {{ user }}{% nocache %}{{ csrf }}{% endnocache %}{% endcache %}{% endnocache %}a{% endcache %}',
  },
  'in another': {
    main: '{% cache 60 a %}A{% nocache %}{{ user }}{% nocache %}{{ csrf }}{% endnocache %}{% endnocache %}a{% endcache %}',
  },
  'in a tag over another cache': {
    main: '{% cache 60 a %}A{% cache 60 b using="near" %}B{% nocache %}{{ user }}{% endnocache %}{% endcache %}{% cache 60 c if=no %}{% nocache %}{{ user }}{% endnocache %}{% endcache %}{% endcache %}',
  },
  'in a tag that is off': {
    main: '{% for x in xs %}{% cache 60 a if=no %}{% nocache x=x %}{{ x }}{{ user }}{% endnocache %}{% endcache %}{% endfor %}',
  },
  'around no tag and in none': {
    main: '{% nocache %}{{ user }}{% endnocache %}{% for x in xs %}{% nocache x=x, last=loop.last %}{{ x }}{{ last }}{% endnocache %}{% endfor %}',
  },
  'in an included template': {
    main: '{% cache 60 a %}{% for x in xs %}{% include "part" %}{% endfor %}{% endcache %}',
    part: '<{{ x }}{% nocache %}{{ user }}{% endnocache %}>',
  },
  'that includes a template': {
    main: '{% cache 60 a %}{% for x in xs %}{{ x }}{% nocache %}{% include "part" %}{% endnocache %}{% endfor %}{% endcache %}',
    part: '({{ user }}{% cache 60 part csrf %}{{ csrf }}{% endcache %})',
  },
  'in an inherited layout and in blocks': {
    main: '{% extends "base" %}{% block c %}child{% nocache %}{{ user }}{% endnocache %}{{ super() }}{% endblock %}',
    base: '{% cache 60 a %}<{% block c %}base{% nocache %}{{ csrf }}{% endnocache %}{% endblock %}{% block d %}{% nocache %}{{ user }}{% endnocache %}{% endblock %}>{% endcache %}',
  },
  'in a block that a tag stands in': {
    main: '{% extends "base" %}{% block c %}{% for x in xs %}{% cache 60 a x %}{{ super() }}{% nocache x=x %}{{ x }}{{ user }}{% endnocache %}{% endcache %}{% endfor %}{% endblock %}',
    base: '<{% block c %}{% nocache %}{{ csrf }}{% endnocache %}{% endblock %}>',
  },
  'in a set block at the top of a template that extends another': {
    main: '{% extends "base" %}{% set html %}<{% cache 60 a %}{% nocache %}{{ user }}{% endnocache %}{% endcache %}{% nocache %}{{ csrf }}{% endnocache %}>{% endset %}{% block c %}{{ html | safe }}{% endblock %}',
    base: '{% block c %}{% endblock %}',
  },
  'in a macro that is called inside': {
    main: '{% macro field(name) %}<{{ name }}{% nocache %}{{ csrf }}{% endnocache %}>{% endmacro %}{% cache 60 a %}{{ field("n") }}{{ field("m") }}{% endcache %}',
  },
  'that calls a macro, its own, an imported one and a function': {
    main: '{% cache 60 a %}A{% nocache %}{% import "forms" as forms %}{% macro m(x) %}<{{ x }}>{% endmacro %}{% macro own() %}o{% endmacro %}{{ own() }}{{ m(user) }}{{ forms.field(csrf) }}{{ shout(user) }}{% endnocache %}{% endcache %}',
    forms: '{% macro field(x) %}[{{ x }}]{% endmacro %}',
  },
  'in a tag in a macro, with its arguments': {
    main: '{% macro card(x, y="why") %}{% cache 60 a x %}{{ x }}{% nocache x=x y=y %}{{ x }}{{ y }}{{ user }}{% endnocache %}{% endcache %}{% endmacro %}{% for x in xs %}{{ card(x) }}{% endfor %}',
  },
  'in a call block whose macro has a tag': {
    main: '{% macro box() %}{% cache 60 box %}<{{ caller() }}>{% endcache %}{% endmacro %}{% call box() %}in{% nocache %}{{ user }}{% endnocache %}{% endcall %}',
  },
  'in a call block with arguments': {
    main: '{% macro box() %}{% cache 60 box %}<{{ caller(1) }}>{% endcache %}{% endmacro %}{% call(n) box() %}{{ n }}{% nocache %}{{ user }}{% endnocache %}{% endcall %}',
  },
  'in a call block inside': {
    main: '{% macro box() %}<{{ caller() }}>{% endmacro %}{% cache 60 a %}{% call box() %}in{% nocache %}{{ user }}{% endnocache %}{% endcall %}{% endcache %}',
  },
  'with a call block, set blocks, filter blocks and loops of its own': {
    main: '{% cache 60 a %}A{% nocache %}{% macro box() %}<{{ caller() }}>{% endmacro %}{% call box() %}{{ user }}{% endcall %}{% set s %}{{ csrf }}{% endset %}{{ s }}{% filter upper %}{{ user }}{% endfilter %}{% for x in xs %}{{ x }}{{ loop.index }}{% endfor %}{% set u = user %}{% if u %}{{ u }}{% else %}none{% endif %}{% switch u %}{% case "ann" %}A{% default %}{{ u }}{% endswitch %}{% endnocache %}{% endcache %}',
  },
  'in a set block that is put out as it is': {
    main: '{% cache 60 a %}{% set s %}<{% nocache %}{{ user }}{% endnocache %}>{% endset %}{{ s | safe }}{{ s | safe }}{% endcache %}',
  },
  'in a set block outside every tag': {
    main: '{% set s %}<{% nocache %}{{ user }}{% endnocache %}>{% endset %}{{ s | length }}{{ s | upper }}{% filter upper %}{% nocache %}{{ user }}{% endnocache %}{% endfilter %}',
  },
  'in conditions': {
    main: '{% cache 60 a %}{% if xs.length > 1 %}{% nocache %}{% if user == "ann" %}A{% else %}{{ user }}{% endif %}{% endnocache %}{% else %}{% nocache %}no{% endnocache %}{% endif %}{% switch 1 %}{% case 1 %}{% nocache %}{{ user }}{% endnocache %}{% endswitch %}{% endcache %}',
  },
  'with variables set before the tag': {
    main: '{% set name = user | upper %}{% for x in xs %}{% set twice = x + x %}{% cache 60 a x name %}{{ x }}{% nocache name=name twice=twice %}{{ name }}{{ twice }}{% endnocache %}{% endcache %}{% endfor %}',
  },
  'after a variable that the body sets for itself': {
    main: '{% cache 60 a %}{% set y = 1 %}{{ y }}{% nocache %}{{ shout(user) }}{% set y = csrf %}{{ y }}{% endnocache %}{% endcache %}',
  },
  'dropped by a macro': {
    main: '{% macro quiet() %}{% set _ = caller() %}quiet{% endmacro %}{% cache 60 a %}{% call quiet() %}{% nocache %}{{ user }}{% endnocache %}{% endcall %}{% endcache %}',
  },
}

describe.each(Object.entries(same))('a nocache block %s', (_, templates) => {
  const plain = new nunjucks.Environment(sources(withoutTags(templates)))
  plain.addGlobal('shout', (text: string) => `${text}!`)
  const expected = visitors.map((context) => plain.render('main', context))

  it.each(Object.entries(caches))('is each visitor’s own over %s', async (__, make) => {
    expect(await visit(templates, visitors, make())).toEqual(expected)
  })

  it('is each visitor’s own where rendering is synchronous', async () => {
    expect(await visit(templates, visitors, new LocMemCache(), true)).toEqual(expected)
  })
})

describe('around a nocache block', () => {
  it.each(Object.entries(caches))('the text comes from %s', async (_, make) => {
    const main =
      '{% cache 60 a %}{{ n }}{% nocache %}{{ n }}{% endnocache %}{% cache 60 b %}{{ n }}{% nocache %}{{ n }}{% endnocache %}{% endcache %}{% endcache %}'
    const contexts = [{ n: 1 }, { n: 2 }, { n: 3 }]
    expect(await visit({ main }, contexts, make())).toEqual(['1111', '1212', '1313'])
  })

  it('what is stored for an inner tag serves it where it is the outermost', async () => {
    const inner = '{% cache 60 inner %}{{ n }}{% nocache %}{{ n }}{% endnocache %}{% endcache %}'
    const main = `{% if n == 1 %}{% cache 60 outer %}${inner}{% endcache %}{% else %}${inner}{% endif %}`
    const contexts = [{ n: 1 }, { n: 2 }, { n: 1 }]
    for (const make of Object.values(caches)) {
      expect(await visit({ main }, contexts, make())).toEqual(['11', '12', '11'])
    }
  })

  it('what is set inside stays inside', async () => {
    const main =
      '{% nocache %}{% set x = 1 %}{{ x }}{% endnocache %}{{ x }}{% cache 60 a %}{% nocache %}{% set y = 1 %}{% macro m() %}m{% endmacro %}{{ y }}{{ m() }}{% endnocache %}{{ y }}{{ m }}{% endcache %}'
    for (const make of Object.values(caches)) {
      expect(await visit({ main }, [{}, {}], make())).toEqual(['11m', '11m'])
    }
  })

  it('content that looks like what stands for one stays what it is', async () => {
    const cache = new LocMemCache()
    const main =
      '{% cache 60 a %}{{ text | safe }}{% nocache %}{{ user }}{% endnocache %}{% endcache %}'
    const env = new nunjucks.Environment(sources({ main }))
    registerCache(env, createCaches({ default: cache }))
    const seen: string[] = []
    const spy = (text: string) => (seen.push(text), text)
    const text = '[{"e":"nunjucks","t":"main","h":"0_0123456789ab"}]'
    expect(env.render('main', { text, user: 'ann', spy })).toBe(`${text}ann`)
    expect(env.render('main', { text, user: 'bob', spy })).toBe(`${text}bob`)
  })
})

describe('concurrent visitors of one fragment', () => {
  it('share what is around, and have their own blocks', async () => {
    const env = new nunjucks.Environment(
      sources({
        main: '{% cache 60 a %}{{ make() }}{% for x in xs %}{% include "part" %}{% endfor %}{% endcache %}',
        part: '{% cache 60 part x %}{{ x }}{% nocache %}[{{ user }}{% cache 60 own user %}{{ user }}{% endcache %}]{% endnocache %}{% endcache %}',
      }),
    )
    const remote = new AsyncTestCache()
    const { renderAsync } = registerCache(env, createCaches({ default: remote }))
    let made = 0
    const make = () => `made ${++made} `
    const users = Array.from({ length: 50 }, (_, i) => `user${i}`)
    for (let round = 0; round < 2; round++) {
      const texts = await Promise.all(
        users.map((user) => renderAsync('main', { user, make, xs: [1, 2] })),
      )
      expect(texts).toEqual(users.map((user) => `made 1 1[${user}${user}]2[${user}${user}]`))
    }
  })
})

describe('a stored nocache block that is not there any more', () => {
  it('makes the fragment a miss', () => {
    const cache = new LocMemCache()
    const templates = {
      main: '{% cache 60 a %}{{ n }}{% include "part" %}{% endcache %}',
      part: '{% nocache %}old {{ n }}{% endnocache %}',
    }
    const render = (n: number) => {
      const env = new nunjucks.Environment(sources(templates))
      registerCache(env, createCaches({ default: cache }))
      return env.render('main', { n })
    }
    expect([render(1), render(2)]).toEqual(['1old 1', '1old 2'])
    templates.part = '{% nocache %}new {{ n }}{% endnocache %}'
    expect([render(3), render(4)]).toEqual(['3new 3', '3new 4'])
    templates.part = 'none'
    // A fragment that holds no block any more is found while its part is what it was.
    expect([render(5), render(6)]).toEqual(['5none', '5none'])
  })

  it('of a template without a name is found again as long as the process knows it', async () => {
    const env = new nunjucks.Environment(null)
    const { renderStringAsync } = registerCache(
      env,
      createCaches({ default: new AsyncTestCache() }),
    )
    const page = '{% cache 60 a %}{{ n }}{% nocache %}{{ n }}{% endnocache %}{% endcache %}'
    expect(await renderStringAsync(page, { n: 1 })).toBe('11')
    expect(await renderStringAsync(page, { n: 2 })).toBe('12')
  })
})

describe('templates that were compiled beforehand', () => {
  it('keep their nocache blocks', async () => {
    const named = {
      main: '{% cache 60 a %}{{ n }}{% include "part" %}{% endcache %}',
      part: '{% for x in [1, 2] %}{% nocache %}{{ n }}{% cache 60 b n %}b{{ n }}{% endcache %}{% endnocache %}{% endfor %}',
    }
    const builder = new nunjucks.Environment(null)
    registerCache(builder, createCaches({ default: new LocMemCache() }))
    const compiled: Record<string, unknown> = {}
    for (const [name, source] of Object.entries(named)) {
      const code = nunjucks.precompileString(source, {
        name,
        env: builder,
        // Its types say that it gets one.
        wrapper: (list) => (list as unknown as { template: string }[])[0]?.template ?? '',
      })
      compiled[name] = evaluate<() => unknown>(`() => {'use strict';${code}}`)()
    }
    const loader = new nunjucks.PrecompiledLoader(compiled as never)
    const env = new nunjucks.Environment(loader)
    const { renderAsync } = registerCache(env, createCaches({ default: new AsyncTestCache() }))
    expect(await renderAsync('main', { n: 1 })).toBe('11b11b1')
    expect(await renderAsync('main', { n: 2 })).toBe('12b22b2')
  })
})

describe('holes(context)', () => {
  it('fills the blocks of a fragment that code renders', async () => {
    const all = createCaches({ default: new AsyncTestCache() })
    const env = new nunjucks.Environment(
      sources({
        part: '<{{ n }}{% nocache %}{{ user }}{% cache 60 own user %}own {{ user }}{% endcache %}{% endnocache %}>',
      }),
    )
    const { renderAsync, holes, name } = registerCache(env, all)
    expect(name).toBe('nunjucks')
    const fragments = new FragmentCache(all)
    const render = (user: string, n: number) =>
      fragments.render({ name: 'part', holes: holes({ user }) }, () =>
        renderAsync('part', { n, user }),
      )
    expect(await render('ann', 1)).toBe('<1annown ann>')
    expect(await render('bob', 2)).toBe('<1bobown bob>')
    await expect(fragments.render({ name: 'part' }, () => 'x')).rejects.toThrow(/holes/)
  })
})
