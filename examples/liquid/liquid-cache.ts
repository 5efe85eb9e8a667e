import { createHash } from 'node:crypto'
import { CacheTagError, type Caches } from 'fragcache'
import {
  compileArguments,
  EngineCache,
  parseTagArguments,
  readArguments,
  readArgumentsAsync,
  type AdapterOptions,
  type CacheTag,
  type Dialect,
  type TagArguments,
  type TagValues,
} from 'fragcache/engine'
import {
  Tag,
  Tokenizer,
  toPromise,
  toValue,
  toValueSync,
  Value,
  type Context,
  type Emitter,
  type Liquid,
  type Parser,
  type TagToken,
  type Template,
  type TopLevelToken,
} from 'liquidjs'

const DIALECT: Dialect = {
  quotes: '"\'',
  filterBar: true,
  operatorWords: ['and', 'or', 'contains'],
  comments: false,
}

/** What `registerCache` gives. */
export interface LiquidCache {
  /** Renders a file with one round trip per level of fragments: its tags are put off. */
  renderDeferred(file: string, context?: object): Promise<string>
}

/**
 * Registers the tag `cache`:
 *
 *     {% cache 500 sidebar user.name using="local" %} ... {% endcache %}
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
    #withDigest(values: TagValues): TagValues {
      if (!cache.wantsDigest) return values
      this.#digest ??= digestOf(this.#templates)
      return { ...values, digest: this.#digest }
    }

    *render(context: Context, emitter: Emitter): Generator<unknown, void, unknown> {
      const text = context.sync ? this.#renderSync(context) : this.#renderAsync(context)
      emitter.write(yield text)
    }

    #renderSync(context: Context): string {
      const read = (value: Value): unknown => toValue(toValueSync(value.value(context)))
      const values = readArguments(this.#arguments, read)
      const keepBody = () => {
        const own = copyOf(context)
        return () => toValueSync(this.#renderIn(own))
      }
      const renderBody = () => keepBody()()
      return cache.render(this.#tag, this.#withDigest(values), { renderBody, keepBody })
    }

    async #renderAsync(context: Context): Promise<string> {
      const read = async (value: Value): Promise<unknown> =>
        toValue(await toPromise(value.value(context)))
      const values = await readArgumentsAsync(this.#arguments, read)
      const renderBody = () => toPromise(this.#renderIn(copyOf(context)))
      return cache.renderAsync(this.#tag, this.#withDigest(values), { renderBody })
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
  return {
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

/** What a context holds besides what it was made with. */
interface Variables {
  readonly scopes: readonly { readonly forloop?: object }[]
  readonly registers: object
}

/** What is assigned in a body stays in it on a miss as on a hit. */
function copyOf(context: Context): Context {
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
  const sources = new Map<string, Set<number>>()
  const visit = (templates: readonly Template[]) => {
    for (const template of templates) {
      const { input, begin } = template.token
      const known = sources.get(input) ?? new Set()
      sources.set(input, known)
      if (known.has(begin)) continue
      known.add(begin)
      visit(childrenOf(template))
    }
  }
  visit(body)
  return createHash('sha256')
    .update(JSON.stringify([...sources.keys()]))
    .digest('hex')
    .slice(0, 16)
}

function childrenOf(template: Template): readonly Template[] {
  try {
    return template.children === undefined ? [] : toValueSync(template.children(true, true))
  } catch {
    // Whoever renders it is told what is wrong.
    return []
  }
}
