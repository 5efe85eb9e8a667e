/** A template made at random, with its partials. */
export interface RandomCase {
  readonly main: string
  readonly partials: Readonly<Record<string, string>>
  readonly options: CompileOptions
  /** Templates go through `precompile` and `template`. */
  readonly precompiled: boolean
  /** Partials are runtime options. */
  readonly runtimePartials: boolean
}

const PARTIALS = 4
const LEAF = -1

/** Numbers from 0 to 1, the same for the same seed (mulberry32). */
function randomNumbers(seed: number): () => number {
  let state = seed
  return () => {
    state = (state + 0x6d2b79f5) | 0
    let mixed = Math.imul(state ^ (state >>> 15), 1 | state)
    mixed = (mixed + Math.imul(mixed ^ (mixed >>> 7), 61 | mixed)) ^ mixed
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32
  }
}

/**
 * Makes a template of whatever Handlebars has; `{{#cached}}` is the tag, see the test.
 *
 * @param has - Nocache blocks; or `{{boom 7}}`, which may throw, and `{{#attempt}}`, which catches that.
 */
export function makeRandomCase(seed: number, has?: 'holes' | 'errors'): RandomCase {
  const random = randomNumbers(seed)
  const below = (limit: number) => Math.floor(random() * limit)
  const pick = (choices: readonly string[]) => choices[below(choices.length)] as string
  const sometimes = (chance: number) => random() < chance
  let ids = 0

  const space = () => pick(['', '\n', '\n', '  ', '\n  ', '\n\n', ' \n'])
  const strip = () => pick(['', '', '', '~'])
  const expression = (params: readonly string[]) =>
    params.length > 0 && sometimes(0.3)
      ? `{{${pick(params)}}}`
      : pick([
          ...['{{n}}', '{{{h}}}', '{{h}}', '{{{num}}}', '{{t}}', '{{missing}}', '{{show n}}'],
          ...['{{@index}}', '{{@key}}', '{{@first}}', '{{@last}}', '{{@../index}}', '{{@turn}}'],
          ...['{{@root.t}}', '{{../n}}', '{{../../t}}', '{{this.n}}', 'text', '<b>x</b>', '$&'],
        ])

  function tag(body: string): string {
    const keywords = pick(['', ' using="local"', ' version=2', ' tags="x"', ' if=yes', ' if=no'])
    return `{{${strip()}#cached 60 "f${ids++}"${keywords}${strip()}}}${body}{{${strip()}/cached${strip()}}}`
  }

  function hole(depth: number, params: readonly string[]): string {
    const own = ['{{@root.v}}', '{{show @root.v}}', '{{#with @root.o}}{{a}}{{@root.v}}{{/with}}']
    const refused = ['{{this.n}}', '{{../v}}', '{{@index}}', ...params.map((name) => `{{${name}}}`)]
    const inner = () =>
      pick([...own, '{{#each @root.ys}}{{@index}}{{this}}{{@root.v}}{{/each}}', tag('{{@root.t}}')])
    const body = sometimes(0.05)
      ? pick(refused)
      : depth > 0 && sometimes(0.3)
        ? `${inner()}{{#if @root.yes}}${hole(depth - 1, params)}{{/if}}${inner()}`
        : inner()
    return `${space()}{{${strip()}#nocache${strip()}}}${space()}${body}${space()}{{${strip()}/nocache${strip()}}}${space()}`
  }

  /** @param level - Of the partial this stands in, so that they end; beyond the last: a leaf. */
  function statement(depth: number, level: number, params: readonly string[]): string {
    const inner = (more: readonly string[] = []) => block(depth - 1, level, [...params, ...more])
    if (has === 'holes' && sometimes(0.2)) return hole(depth, params)
    if (has === 'errors' && sometimes(0.1))
      return pick([`{{boom ${ids++}}}`, `{{show (boom ${ids++})}}`])
    if (has === 'errors' && depth > 0 && sometimes(0.1)) {
      return `{{#attempt}}${space()}${inner()}{{boom ${ids++}}}${inner()}{{/attempt}}`
    }
    if (depth <= 0) return expression(params)
    switch (below(13)) {
      case 0:
        return expression(params)
      case 1:
        return space() + pick(['a', 'line\nline2', '{{!-- c --}}', '\n']) + space()
      case 2:
      case 3:
      case 4:
        return space() + tag(space() + inner() + space()) + space()
      case 5: {
        const list = pick(['xs', 'ys', 'map', 'o', 'none', '../xs'])
        return `{{#each ${list}}}${space()}${inner()}${space()}{{else}}E{{/each}}`
      }
      case 6: {
        const id = ids++
        return `{{#each xs as |v${id} i${id}|}}${inner([`v${id}.n`, `i${id}`])}{{/each}}`
      }
      case 7:
        return `{{#with ${pick(['o', 'sub', 'xs.[0]', 'missing'])}}}${inner()}{{else}}W{{/with}}`
      case 8: {
        const condition = pick(['n', 'yes', 'no', '@first', 'missing'])
        return `{{#if ${condition}}}${space()}${inner()}{{else}}${inner()}${space()}{{/if}}`
      }
      case 9: {
        if (level >= PARTIALS - 1) return expression(params)
        const target = level === LEAF ? below(PARTIALS) : level + 1
        const name = pick([`p${target}`, `(lookup @root.names ${target})`])
        return `${pick(['\n', '\n  ', '\n\t ', '', '   '])}{{> ${name} ${pick(['', 'o', 'sub'])}}}${pick(['\n', ''])}`
      }
      case 10: {
        if (level >= PARTIALS - 1) return expression(params)
        const target = level === LEAF ? below(PARTIALS) : level + 1
        const slot = `{{#*inline "slot"}}S${block(depth - 2, PARTIALS, params)}{{/inline}}`
        const own = `{{#*inline "own"}}O${block(depth - 2, PARTIALS, params)}{{/inline}}{{> own}}`
        const body = `${sometimes(0.3) ? slot : ''}${inner()}${sometimes(0.4) ? own : ''}`
        return `${pick(['\n', '\n  ', ''])}{{#> p${target}}}${space()}${body}{{/p${target}}}${space()}`
      }
      case 11: {
        const helper = pick(['wrap', 'turns'])
        return `{{#${helper}}}${inner()}{{/${helper}}}`
      }
      default:
        return level === LEAF
          ? expression(params)
          : `${pick(['\n  ', ''])}{{#if @partial-block}}${pick(['\n  ', '\n', ''])}{{> @partial-block}}${space()}{{/if}}{{> slot}}`
    }
  }

  function block(depth: number, level: number, params: readonly string[]): string {
    return Array.from({ length: 1 + below(3) }, () => statement(depth, level, params)).join('')
  }

  const partials = Object.fromEntries(
    Array.from({ length: PARTIALS }, (_, level) => [`p${level}`, block(3, level, [])]),
  )
  return {
    main: block(4, LEAF, []),
    partials,
    options: {
      preventIndent: sometimes(0.2),
      noEscape: sometimes(0.15),
      compat: sometimes(0.1),
      ignoreStandalone: sometimes(0.1),
    },
    precompiled: sometimes(0.2),
    runtimePartials: sometimes(0.3),
  }
}

/**
 * What the templates speak of.
 *
 * @param v - What differs per visitor, and stands in holes only.
 */
export function makeRandomContext(v = ''): Record<string, unknown> {
  const deep = [{ n: 11 }, { n: 12 }]
  return {
    ...{ v, t: 'T', n: 0, h: '<i>&', num: 5, yes: true, no: false },
    names: Array.from({ length: PARTIALS }, (_, level) => `p${level}`),
    xs: [
      { n: 1, v: `${v}1`, xs: deep, ys: ['a', 'b'], t: 't1' },
      { n: 2, v: `${v}2`, ys: [], o: { k: 'v' }, sub: { n: 's2' } },
      { n: 3 },
    ],
    ys: ['y1', 'y2'],
    map: new Map<string, unknown>([
      ['m1', { n: 'mm' }],
      ['m2', 7],
    ]),
    o: { a: 1, b: { n: 2, xs: [{ n: 'b1' }] } },
    sub: { n: 'sub', v: `${v}s`, xs: [{ n: 'z' }], o: { q: 1 } },
  }
}
