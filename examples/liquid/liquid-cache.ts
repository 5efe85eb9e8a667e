import { createHash } from 'node:crypto'
import { CacheTagError, type Caches } from 'fragcache'
import {
  compileArguments,
  EngineCache,
  HolesOfPage,
  parseNamedValues,
  parseTagArguments,
  readArguments,
  readArgumentsAsync,
  renderNocache,
  withValues,
  type AdapterOptions,
  type CacheTag,
  type HoleEngine,
  type HoleRenderer,
  type HoleSource,
  type NocachePlace,
  type TagArguments,
} from 'fragcache/engine'
import { Context, Tag, Tokenizer, toPromise, toValue, toValueSync, Value } from 'liquidjs'
import type { Emitter, Liquid, Parser, TagToken, Template, TopLevelToken } from 'liquidjs'

const DIALECT = {
  quotes: '"\'',
  filterBar: true,
  operatorWords: ['and', 'or', 'contains'],
  comments: false,
}

/** Most blocks that are remembered; those of a file are found again by parsing it. */
const MAX_BLOCKS = 1000

/** What `registerCache` gives. */
export interface LiquidCache extends HoleEngine {
  /** Renders a file with one round trip per level of fragments: its tags are put off. */
  renderDeferred(file: string, context?: object): Promise<string>
}

/**
 * Registers the tags `cache` and, for what is rendered again on every hit, `nocache`:
 *
 *     {% cache 500 sidebar user.name using="local" %} ... {% endcache %}
 *     {% nocache id=product.id %} ... {{ id }} ... {% endnocache %}
 *
 * `parseAndRenderSync` and its kin render over caches that answer at once, `parseAndRender` over any.
 */
export function registerCache(
  liquid: Liquid,
  caches: Caches,
  options: AdapterOptions = {},
): LiquidCache {
  const cache = new EngineCache(caches, {
    remedy: 'render with parseAndRender, renderFile or renderDeferred',
    options,
    isTrue: (value) => value !== false && value !== null && value !== undefined,
  })

  // What a page renders first is itself; what it includes shares the limit of its time.
  const pages = new WeakMap<object, HoleRenderer>()
  const { renderer } = liquid
  const renderTemplates = renderer.renderTemplates.bind(renderer)
  renderer.renderTemplates = (templates, context, emitter) => {
    const { renderLimit } = context
    if (!pages.has(renderLimit)) pages.set(renderLimit, new HolesOfPage(source, context, false))
    return renderTemplates(templates, context, emitter)
  }

  const blocks = new Map<string, readonly Template[]>()
  const source: HoleSource<Context, readonly Template[]> = {
    name: 'liquid',
    find(file, id) {
      const key = `${id} ${file}`
      // To parse a template notes its blocks.
      if (!blocks.has(key) && file !== '') liquid.parseFileSync(file)
      return blocks.get(key)
    },
    render(block, page, _ref, values) {
      const own = page.spawn(withValues(page.environments, values) as object)
      const text = renderTemplates(block as Template[], own) as Generator<unknown, string>
      return page.sync ? toValueSync(text) : toPromise(text)
    },
  }
  const holesOf = ({ renderLimit }: Context) => pages.get(renderLimit) as HoleRenderer

  class LiquidNocacheTag extends Tag {
    readonly #named: readonly [string, Value][]
    readonly #place: NocachePlace

    constructor(token: TagToken, rest: TopLevelToken[], liquid: Liquid, parser: Parser) {
      super(token, rest, liquid)
      const { input, begin, file = '' } = token
      const [line] = token.getPosition() as [number, number]
      const position = { template: file, line }
      const named = parseNamedValues(token.args, DIALECT, position)
      this.#named = Array.from(named, ([name, { text }]) => [name, compile(text, liquid, position)])
      const block = parseBody('nocache', rest, parser, position)
      const end = rest[0]?.begin ?? input.length
      const id = hashOf(input.slice(begin, end))
      this.#place = { engine: 'liquid', template: file, id, line }
      if (blocks.size >= MAX_BLOCKS) blocks.clear()
      blocks.set(`${id} ${file}`, block)
    }

    *render(context: Context, emitter: Emitter): Generator<unknown, void, string> {
      const values: Record<string, unknown> = {}
      for (const [name, value] of this.#named) values[name] = toValue(yield value.value(context))
      emitter.write(yield renderNocache(this.#place, values, holesOf(context)))
    }
  }

  class LiquidCacheTag extends Tag {
    readonly #arguments: TagArguments<Value>
    readonly #tag: CacheTag
    readonly #templates: Template[]
    #digest: string | undefined

    constructor(token: TagToken, rest: TopLevelToken[], liquid: Liquid, parser: Parser) {
      super(token, rest, liquid)
      const [line] = token.getPosition() as [number, number]
      const position = { template: token.file, line }
      const parsed = parseTagArguments(token.args, DIALECT, position)
      const place = { ...position, fragment: parsed.name }
      this.#arguments = compileArguments(parsed, ({ text }) => compile(text, liquid, place))
      this.#tag = cache.tag(place)
      this.#templates = parseBody('cache', rest, parser, place)
    }

    /** A template that is not compiled again does not change. */
    #digestIfWanted(): string | undefined {
      return cache.wantsDigest ? (this.#digest ??= digestOf(this.#templates)) : undefined
    }

    *render(context: Context, emitter: Emitter): Generator<unknown, void, unknown> {
      emitter.write(yield context.sync ? this.#renderSync(context) : this.#renderAsync(context))
    }

    #renderSync(context: Context): string {
      const read = (value: Value): unknown => toValue(toValueSync(value.value(context)))
      const values = { ...readArguments(this.#arguments, read), digest: this.#digestIfWanted() }
      const holes = holesOf(context)
      const keepBody = () => {
        const own = copyOf(context)
        return () => toValueSync(this.#renderIn(own))
      }
      return cache.render(this.#tag, values, { renderBody: () => keepBody()(), keepBody, holes })
    }

    async #renderAsync(context: Context): Promise<string> {
      const read = async (value: Value) => toValue(await toPromise(value.value(context))) as unknown
      const values = await readArgumentsAsync(this.#arguments, read)
      const renderBody = () => toPromise(this.#renderIn(copyOf(context)))
      const holes = holesOf(context)
      const digest = this.#digestIfWanted()
      return cache.renderAsync(this.#tag, { ...values, digest }, { renderBody, holes })
    }

    *#renderIn(context: Context): Generator<unknown, string, string> {
      try {
        const text = yield this.liquid.renderer.renderTemplates(this.#templates, context)
        if (!context.breakCalled && !context.continueCalled) return text
        throw new CacheTagError('break or continue leaves it; put that outside', this.#tag)
      } catch (error) {
        // Liquid wraps what its tags throw; that of a tag inside is to be known as one.
        const { originalError } = error as { originalError?: unknown }
        throw originalError instanceof CacheTagError ? originalError : error
      }
    }

    // eslint-disable-next-line require-yield -- that is how LiquidJS asks
    *children(): Generator<unknown, Template[]> {
      return this.#templates
    }
  }

  liquid.registerTag('cache', LiquidCacheTag)
  liquid.registerTag('nocache', LiquidNocacheTag)
  return {
    name: source.name,
    holes: (context) =>
      new HolesOfPage(source, new Context(context as object, liquid.options, {}, { liquid }), true),
    renderDeferred: (file, context) =>
      cache.renderDeferred(() => liquid.renderFileSync(file, context) as string),
  }
}

function compile(source: string, liquid: Liquid, place: object): Value {
  const tokenizer = new Tokenizer(/^none$/i.test(source) ? 'nil' : source, liquid.options.operators)
  const value = new Value(tokenizer.readFilteredValue(), liquid)
  tokenizer.skipBlank()
  if (tokenizer.end()) return value
  throw new CacheTagError(`${JSON.stringify(source)} is no value of Liquid's`, place)
}

function parseBody(tag: string, rest: TopLevelToken[], parser: Parser, place: object): Template[] {
  const templates: Template[] = []
  const stream = parser
    .parseStream(rest)
    .on(`tag:end${tag}`, () => stream.stop())
    .on('template', (template: Template) => templates.push(template))
    .on('end', () => {
      throw new CacheTagError(`the end${tag} is missing`, place)
    })
  stream.start()
  return templates
}

/** What is assigned in a body stays in it on a miss as on a hit. */
function copyOf(context: Context): Context {
  type Variables = { scopes: { forloop?: object }[]; registers: object }
  const { scopes, registers } = context as unknown as Variables
  const copy = context.spawn(context.environments)
  return Object.assign(copy, {
    scopes: scopes.map(({ forloop, ...scope }) => {
      const own = Object.assign(Object.create(null) as object, scope)
      // A loop changes its own while it goes on.
      return forloop === undefined ? own : Object.assign(own, { forloop: clone(forloop) })
    }),
    registers: { ...registers },
  })
}

const clone = <T extends object>(original: T): T =>
  Object.assign(Object.create(Object.getPrototypeOf(original) as object), original) as T

/** A digest of the sources that a body is in, and of what it includes by name. */
function digestOf(body: readonly Template[]): string {
  const sources = new Set<string>()
  const visit = (templates: readonly Template[]) => {
    for (const template of templates) {
      const { input } = template.token
      sources.add(input)
      const isNew = ({ token }: Template) => token.input === input || !sources.has(token.input)
      visit(childrenOf(template).filter(isNew))
    }
  }
  visit(body)
  return hashOf(JSON.stringify([...sources]))
}

const hashOf = (text: string) => createHash('sha256').update(text).digest('hex').slice(0, 16)

function childrenOf(template: Template): readonly Template[] {
  try {
    return template.children === undefined ? [] : toValueSync(template.children(true, true))
  } catch {
    // Whoever renders it is told what is wrong.
    return []
  }
}
