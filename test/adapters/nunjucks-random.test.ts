import { createCaches, LocMemCache, type Cache } from 'fragcache'
import { registerCache } from 'fragcache/nunjucks'
import nunjucks from 'nunjucks'
import { expect, it } from 'vitest'
import { AsyncTestCache } from '../support/async-cache.js'
import { fc, runsOf } from '../support/random.js'
import { sources } from './nunjucks-driver.js'

/** A part of a template, before its tags and variables have names. */
type Part =
  | { readonly kind: 'text'; readonly text: string }
  | { readonly kind: 'variable'; readonly which: number; readonly safe: boolean }
  | { readonly kind: 'set'; readonly from: number; readonly onto: number }
  | {
      readonly kind:
        | 'for'
        | 'rows'
        | 'asyncEach'
        | 'if'
        | 'cache'
        | 'nocache'
        | 'call'
        | 'ownCall'
        | 'cachedCall'
        | 'setBlock'
      readonly body: readonly Part[]
      readonly which: number
    }
  | {
      readonly kind: 'macro' | 'cachedMacro' | 'include' | 'slow' | 'failing' | 'inBody'
      readonly which: number
    }

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
      kind: fc.constantFrom(
        'macro' as const,
        'cachedMacro' as const,
        'include' as const,
        'slow' as const,
        'slow' as const,
        'failing' as const,
        'inBody' as const,
        'inBody' as const,
      ),
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
        'ownCall' as const,
        'cachedCall' as const,
        'setBlock' as const,
        'nocache' as const,
        'nocache' as const,
      ),
      body: tie('parts'),
      which: fc.nat(20),
    }),
  ),
  parts: fc.array(tie('part'), { maxLength: 6, depthIdentifier: 'part' }),
}))

/** What a place in a template sees. */
interface Scope {
  /** Variables that may differ from one run of this place to the next. */
  readonly visible: readonly string[]
  /** Variables that may be set here again. A tag keeps its sets inside, as nothing does without it. */
  readonly own: readonly string[]
  /** Inside a tag: the variables that its place sees, which a nocache block may use. */
  readonly outside: readonly string[] | undefined
  readonly inHole: boolean
  /** Whether an asynchronous filter may stand here: not in bodies, nor where the engine loses its output. */
  readonly mayWait: boolean
  /** Whether what stands here is in a cached body, none of which is run on a hit. */
  readonly isKept: boolean
}

const names = (scope: Scope, more: readonly string[]): Scope => ({
  ...scope,
  visible: [...scope.visible, ...more],
})

/** In a loop, whose `loop` hides that of a loop around the tag. */
const inLoop = (scope: Scope, more: readonly string[]): Scope => ({
  ...names(scope, more),
  outside: scope.outside?.filter((name) => name !== 'loop.index'),
})

/** Writes a template out, once with cache tags and once without. */
class Writer {
  #names = 0
  readonly #tagged: boolean

  constructor(tagged: boolean) {
    this.#tagged = tagged
  }

  write(list: readonly Part[], scope: Scope): string {
    let known = scope
    let text = ''
    for (const part of list) {
      if (part.kind === 'set') {
        const { own, visible } = known
        const name = own[part.onto] ?? `v${this.#names++}`
        text += `{% set ${name} = ${this.#pick(known, part.from)} ~ "." %}`
        if (!visible.includes(name)) known = names(known, [name])
        if (!own.includes(name)) known = { ...known, own: [...own, name] }
      } else text += this.#part(part, known)
    }
    return text
  }

  #pick({ visible, outside }: Scope, which: number): string {
    // What is kept for all must not hold what only one visitor is to see.
    const all = ['n', 'user', 'missing', ...(outside === undefined ? ['visitor'] : []), ...visible]
    return all[which % all.length] as string
  }

  #part(part: Exclude<Part, { kind: 'set' }>, scope: Scope): string {
    const id = this.#names++
    if (part.kind === 'text') return part.text
    const value = this.#pick(scope, part.which)
    const { visible } = scope
    const apart: Scope = { ...scope, own: [], mayWait: false }
    // By a fault of the engine a call block that stands in no block sees neither `loop` nor what is set
    // around it. In a nocache block it does.
    const isSeen = (name: string) => /^[iab]\d/.test(name)
    const seesAlike: Scope = {
      ...apart,
      visible: visible.filter(isSeen),
      outside: scope.outside?.filter(isSeen),
    }
    // What is no variable of its own name is left out of nocache blocks, as macros are.
    const nameable = visible.filter((name) => !name.includes('.'))
    if (scope.inHole && /^(?:macro|cachedMacro|call|cachedCall)$/.test(part.kind)) return ''
    const called = scope.inHole ? seesAlike : { ...apart, outside: seesAlike.outside }
    switch (part.kind) {
      case 'failing':
        return '{{ failing() }}'
      case 'inBody':
        return scope.isKept ? '{{ inBody() }}' : ''
      case 'slow':
        return `{{ ${value}${scope.mayWait ? ' | slow' : ''} }}`
      case 'variable':
        return `{{ ${value}${part.safe ? ' | safe' : ''} }}`
      case 'macro':
        return `{{ plain(${value}) }}`
      case 'cachedMacro':
        return `{{ kept(${value}, "${id}") }}`
      case 'include':
        return `{% set at = ${value} or "-" %}{% include "part" %}`
      case 'if':
        return `{% if ${value} %}${this.write(part.body, scope)}{% else %}no{% endif %}`
      case 'for':
        return `{% for i${id} in [1, 2] %}${this.write(part.body, inLoop(scope, [`i${id}`, 'loop.index']))}{% endfor %}`
      case 'asyncEach':
        return `{% asyncEach i${id} in [1, 2] %}${this.write(part.body, inLoop(scope, [`i${id}`]))}{% endeach %}`
      case 'rows':
        return `{% for a${id}, b${id} in rows %}${this.write(part.body, inLoop(scope, [`a${id}`, `b${id}`]))}{% endfor %}`
      case 'call':
        return `{% call around(${value}) %}${this.write(part.body, called)}{% endcall %}`
      case 'ownCall':
        return `{% macro own${id}(x) %}<{{ x }}{{ caller() }}>{% endmacro %}{% call own${id}(${value}) %}${this.write(part.body, called)}{% endcall %}`
      case 'cachedCall':
        // What the caller puts in has to be among the values that the macro's fragment varies on, with
        // the value that it has there. The macro's tag sees nothing of the variables here.
        return `{% call keptAround("${id}", [${visible.join(', ')}]) %}${this.write(part.body, { ...seesAlike, outside: seesAlike.outside ?? [] })}{% endcall %}`
      case 'setBlock':
        return `{% set b${id} %}${this.write(part.body, apart)}{% endset %}{{ b${id} | safe }}`
      case 'cache':
        return this.#cache(
          `f${id} ${visible.join(' ')}${scope.mayWait && part.which % 3 === 0 ? ' n|slow' : ''}`,
          this.write(part.body, { ...apart, outside: scope.outside ?? visible, isKept: true }),
        )
      case 'nocache':
        return this.#nocache(
          nameable,
          this.write(part.body, {
            visible: nameable,
            own: [],
            outside: undefined,
            inHole: true,
            mayWait: false,
            isKept: false,
          }),
        )
    }
  }

  #cache(args: string, body: string): string {
    return this.#tagged ? `{% cache 60 ${args} %}${body}{% endcache %}` : body
  }

  #nocache(values: readonly string[], body: string): string {
    const named = values.map((name) => ` ${name}=${name}`).join('')
    return this.#tagged ? `{% nocache${named} %}${body}{% endnocache %}` : body
  }

  templates(list: readonly Part[]): Record<string, string> {
    const visitor = this.#nocache([], '{{ visitor }}')
    return {
      main:
        '{% macro plain(x, n) %}<{{ x }}{{ n }}{{ user }}>{% endmacro %}' +
        `{% macro kept(x, id, n) %}${this.#cache('kept id x', `({{ x }}{{ n }}{{ id }}{{ inBody() }}${visitor})`)}{% endmacro %}` +
        '{% macro around(x) %}[{{ x }}{{ caller() }}]{% endmacro %}' +
        `{% macro keptAround(id, values) %}${this.#cache('keptAround id values', `{ {{ id }}{{ caller() }}${visitor} }`)}{% endmacro %}` +
        this.write(list, {
          visible: [],
          own: [],
          outside: undefined,
          inHole: false,
          mayWait: true,
          isKept: false,
        }),
      part: this.#cache('part at', `p{{ at }}${visitor}{{ n }}{{ inBody() }}`),
    }
  }
}

const context = (visitor: string) => ({
  n: 7,
  user: '<ann>',
  rows: [
    ['r', 1],
    ['s', 2],
  ],
  visitor,
})

/** One who finds it cold and whose functions fail, two who find what is left, and one who finds all. */
const visits = ['failing', '&ann', 'bob', '&ann']

/** What each visit was given, and how often the last one ran a part of a cached body. */
interface Shown {
  readonly texts: readonly string[]
  readonly inBodies: number
}

/** @param isAsync - Whether filters answer in a later turn. */
function makeEnvironment(templates: Record<string, string>, isAsync: boolean) {
  const env = new nunjucks.Environment(sources(templates))
  let inBodies = 0
  let isFailing = false
  env.addGlobal('inBody', () => {
    inBodies++
    return ''
  })
  env.addGlobal('failing', () => {
    if (isFailing) throw new Error('it failed')
    return ''
  })
  const slow = (value: unknown, callback: (error: null, value: unknown) => void) => {
    if (isAsync) setImmediate(callback, null, value)
    else callback(null, value)
  }
  env.addFilter('slow', slow as never, true)
  const show = async (render: (given: object) => unknown): Promise<Shown> => {
    const texts: string[] = []
    for (const visitor of visits) {
      inBodies = 0
      isFailing = visitor === 'failing'
      try {
        texts.push(String(await render(context(visitor))))
      } catch (error) {
        if (!isFailing || !String(error).includes('it failed')) throw error
        texts.push('failed')
      }
    }
    return { texts, inBodies }
  }
  return { env, show }
}

async function render(
  templates: Record<string, string>,
  cache: Cache,
  isAsync: boolean,
): Promise<Shown> {
  const { env, show } = makeEnvironment(templates, isAsync)
  const { renderAsync } = registerCache(env, createCaches({ default: cache }))
  return show((given) => (isAsync ? renderAsync('main', given) : env.render('main', given)))
}

it('renders whatever template the same without the tags, cold and warm, in each way', async () => {
  await fc.assert(
    fc.asyncProperty(parts, async (list) => {
      const plain = makeEnvironment(new Writer(false).templates(list), false)
      const { texts } = await plain.show((given) => plain.env.render('main', given))
      const expected = { texts, inBodies: 0 }
      const templates = new Writer(true).templates(list)
      const limits = { options: { maxEntries: 10_000 } }
      expect(await render(templates, new LocMemCache(limits), false)).toEqual(expected)
      expect(await render(templates, new LocMemCache(limits), true)).toEqual(expected)
      expect(await render(templates, new AsyncTestCache(), true)).toEqual(expected)
    }),
    { numRuns: runsOf(150) },
  )
})
