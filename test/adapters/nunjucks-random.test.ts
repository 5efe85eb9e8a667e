import fc from 'fast-check'
import { createCaches, LocMemCache, type Cache } from 'fragcache'
import { registerCache } from 'fragcache/nunjucks'
import nunjucks from 'nunjucks'
import { expect, it } from 'vitest'
import { AsyncTestCache } from '../support/async-cache.js'
import { sources } from './nunjucks-driver.js'

/** A part of a template, before its tags and variables have names. */
type Part =
  | { readonly kind: 'text'; readonly text: string }
  | { readonly kind: 'variable'; readonly which: number; readonly safe: boolean }
  | { readonly kind: 'set'; readonly from: number; readonly onto: number }
  | {
      readonly kind:
        'for' | 'rows' | 'asyncEach' | 'if' | 'cache' | 'call' | 'cachedCall' | 'setBlock'
      readonly body: readonly Part[]
      readonly which: number
    }
  | { readonly kind: 'macro' | 'cachedMacro' | 'include'; readonly which: number }

const { parts } = fc.letrec<{ part: Part; parts: readonly Part[] }>((tie) => ({
  part: fc.oneof(
    { depthSize: 'medium', withCrossShrink: true },
    fc.record({
      kind: fc.constant('text' as const),
      text: fc.constantFrom('a', '<i>', ' \n', '&'),
    }),
    fc.record({
      kind: fc.constant('variable' as const),
      which: fc.nat(20),
      safe: fc.boolean(),
    }),
    fc.record({ kind: fc.constant('set' as const), from: fc.nat(20), onto: fc.nat(3) }),
    fc.record({
      kind: fc.constantFrom('macro' as const, 'cachedMacro' as const, 'include' as const),
      which: fc.nat(20),
    }),
    fc.record({
      kind: fc.constantFrom(
        'for' as const,
        'rows' as const,
        'asyncEach' as const,
        'if' as const,
        'cache' as const,
        'cache' as const,
        'cache' as const,
        'call' as const,
        'cachedCall' as const,
        'setBlock' as const,
      ),
      body: tie('parts'),
      which: fc.nat(20),
    }),
  ),
  parts: fc.array(tie('part'), { maxLength: 6, depthIdentifier: 'part' }),
}))

/** Writes a template out, once with cache tags and once without. */
class Writer {
  #names = 0
  readonly #tagged: boolean

  constructor(tagged: boolean) {
    this.#tagged = tagged
  }

  /**
   * @param visible - Variables that may differ from one run of this place to the next.
   * @param own - Variables that may be set here again. A tag keeps its sets inside, as nothing does
   *   without it.
   */
  write(list: readonly Part[], visible: readonly string[], own: readonly string[] = []): string {
    let known = visible
    let settable = own
    let text = ''
    for (const part of list) {
      if (part.kind === 'set') {
        const name = settable[part.onto] ?? `v${this.#names++}`
        text += `{% set ${name} = ${this.#pick(known, part.from)} ~ "." %}`
        if (!known.includes(name)) known = [...known, name]
        if (!settable.includes(name)) settable = [...settable, name]
      } else text += this.#part(part, known, settable)
    }
    return text
  }

  #pick(visible: readonly string[], which: number): string {
    const names = ['n', 'user', 'missing', ...visible]
    return names[which % names.length] as string
  }

  #part(
    part: Exclude<Part, { kind: 'set' }>,
    visible: readonly string[],
    own: readonly string[],
  ): string {
    const id = this.#names++
    if (part.kind === 'text') return part.text
    const value = this.#pick(visible, part.which)
    switch (part.kind) {
      case 'variable':
        return `{{ ${value}${part.safe ? ' | safe' : ''} }}`
      case 'macro':
        return `{{ plain(${value}) }}`
      case 'cachedMacro':
        return `{{ kept(${value}, "${id}") }}`
      case 'include':
        return `{% set at = ${value} or "-" %}{% include "part" %}`
      case 'if':
        return `{% if ${value} %}${this.write(part.body, visible, own)}{% else %}no{% endif %}`
      case 'for':
        return `{% for i${id} in [1, 2] %}${this.write(part.body, [...visible, `i${id}`, 'loop.index'], own)}{% endfor %}`
      case 'asyncEach':
        return `{% asyncEach i${id} in [1, 2] %}${this.write(part.body, [...visible, `i${id}`], own)}{% endeach %}`
      case 'rows':
        return `{% for a${id}, b${id} in rows %}${this.write(part.body, [...visible, `a${id}`, `b${id}`], own)}{% endfor %}`
      case 'call':
        return `{% call around(${value}) %}${this.write(part.body, visible)}{% endcall %}`
      case 'cachedCall':
        // What the caller puts in has to be among the values that the macro's fragment varies on.
        return `{% call keptAround("${id}", [${visible.join(', ')}]) %}${this.write(part.body, visible)}{% endcall %}`
      case 'setBlock':
        return `{% set b${id} %}${this.write(part.body, visible)}{% endset %}{{ b${id} | safe }}`
      case 'cache':
        return this.#cache(`f${id} ${visible.join(' ')}`, this.write(part.body, visible))
    }
  }

  #cache(args: string, body: string): string {
    return this.#tagged ? `{% cache 60 ${args} %}${body}{% endcache %}` : body
  }

  templates(list: readonly Part[]): Record<string, string> {
    return {
      main:
        '{% macro plain(x, n) %}<{{ x }}{{ n }}{{ user }}>{% endmacro %}' +
        `{% macro kept(x, id, n) %}${this.#cache('kept id x', '({{ x }}{{ n }}{{ id }})')}{% endmacro %}` +
        '{% macro around(x) %}[{{ x }}{{ caller() }}]{% endmacro %}' +
        `{% macro keptAround(id, values) %}${this.#cache('keptAround id values', '{ {{ id }}{{ caller() }} }')}{% endmacro %}` +
        this.write(list, []),
      part: this.#cache('part at', 'p{{ at }}{{ n }}'),
    }
  }
}

const context = () => ({
  n: 7,
  user: '<ann>',
  rows: [
    ['r', 1],
    ['s', 2],
  ],
})

async function render(
  templates: Record<string, string>,
  cache: Cache,
  isAsync: boolean,
): Promise<string[]> {
  const env = new nunjucks.Environment(sources(templates))
  const { renderAsync } = registerCache(env, createCaches({ default: cache }))
  const once = async () =>
    isAsync ? renderAsync('main', context()) : env.render('main', context())
  return [await once(), await once()]
}

it('renders whatever template the same without the tag, cold and warm, in each way', async () => {
  await fc.assert(
    fc.asyncProperty(parts, async (list) => {
      const plain = new nunjucks.Environment(sources(new Writer(false).templates(list)))
      const expected = plain.render('main', context())
      const templates = new Writer(true).templates(list)
      const limits = { options: { maxEntries: 10_000 } }
      expect(await render(templates, new LocMemCache(limits), false)).toEqual([expected, expected])
      expect(await render(templates, new LocMemCache(limits), true)).toEqual([expected, expected])
      expect(await render(templates, new AsyncTestCache(), true)).toEqual([expected, expected])
    }),
    { numRuns: Number(process.env['FRAGCACHE_RANDOM_RUNS'] ?? 150) },
  )
}, 120_000)
