import type { EngineCache } from '../../src/engine.js'
import { Trails } from '../../src/fragment/ahead.js'
import { mergeWatched } from '../../src/fragment/watched.js'
import { templateName } from './position.js'
import type { CompiledHole } from './compiled.js'
import type { EtaSite } from './site.js'
import { copyOfPlain } from '../../src/fragment/named-values.js'
import { newPage } from './holes.js'
import { PAGE, type Engine, type RunOptions, type Template } from './templates.js'

/** Most templates of which it is remembered that a warning was given. */
const MAX_WARNED = 1_000

/** What the templates of one plugin share at run time. */
export class Runtime {
  readonly sites = new WeakMap<TemplateStringsArray, EtaSite>()
  readonly trails = new Trails()
  readonly #holes = new WeakMap<TemplateStringsArray, CompiledHole>()
  readonly #engines = new Set<WeakRef<Engine>>()
  readonly #warned = new Set<string>()
  #latest: Engine | undefined

  constructor(readonly cache: EngineCache) {}

  /**
   * The options that a template hands on, with the page that it is of.
   *
   * @param isCopied - Whether the template may change its data before a nocache block sees them.
   */
  pageOf(data: object | undefined, options: RunOptions | undefined, isCopied: boolean): RunOptions {
    const page =
      options?.[PAGE] ??
      newPage(isCopied && data ? (copyOfPlain(data) ?? data) : data, options?.filepath)
    // V8 takes thousands of instructions for the spread of what a spread made, as Eta's options are.
    const own: RunOptions = Object.assign({}, options)
    own[PAGE] = page
    return own
  }

  /** What an included template is given: the data of the template that includes it, and its own. */
  given(data: object | undefined, own: object | null | undefined): object {
    const { cache } = this
    const others = (own ?? {}) as Readonly<Record<string, unknown>>
    return mergeWatched(data, others) ?? cache.merge(data ?? {}, others)
  }

  /** Notes what a layout is given by a template: text already, perhaps with per-user output in it. */
  included(data: object | undefined, options: RunOptions | undefined): undefined {
    const page = options?.[PAGE]
    if (page?.hasShown !== true) return
    const { body, __blocks: blocks } = (data ?? {}) as { body?: unknown; __blocks?: unknown }
    const text = blocks !== undefined && typeof body === 'string' ? body.trim() : ''
    if (text !== '') page.layoutTexts.push(text)
  }

  /** Notes an engine whose templates may hold nocache blocks. */
  attach(engine: Engine): void {
    if (engine === this.#latest) return
    this.#latest = engine
    for (const known of this.#engines) {
      const other = known.deref()
      if (other === engine) return
      if (other === undefined) this.#engines.delete(known)
    }
    this.#engines.add(new WeakRef(engine))
  }

  /** The engines that were noted. */
  get engines(): Engine[] {
    return Array.from(this.#engines, (known) => known.deref()).filter(
      (engine) => engine !== undefined,
    )
  }

  /** The nocache block whose JSON is here. */
  holeAt(strings: TemplateStringsArray): CompiledHole {
    const known = this.#holes.get(strings)
    if (known !== undefined) return known
    const hole = JSON.parse(strings[0] ?? '') as CompiledHole
    this.#holes.set(strings, hole)
    return hole
  }

  /** A template in a string has no name, and one loaded by a name is given its includer's path. */
  nameOf(
    engine: Engine,
    filepath: string | undefined,
    isMeant: (template: Template) => boolean,
  ): string | undefined {
    for (const store of [engine.templatesSync, engine.templatesAsync]) {
      const { cache = {} } = store as { cache?: Record<string, Template> }
      for (const name in cache) {
        if (name.startsWith('@') && isMeant(cache[name] as Template)) return name
      }
    }
    return filepath && templateName(filepath, engine.config)
  }

  /** Warns once that a template includes by an expression, which no digest can follow. */
  warnOfDynamic(name = 'a template without a name'): void {
    if (this.#warned.has(name) || this.#warned.size >= MAX_WARNED) return
    this.#warned.add(name)
    process.emitWarning(
      `${name}: it includes by an expression, so that the digest of what includes it does not change with that; write the name out, or vary on it`,
      { type: 'FragmentDigestWarning', code: 'FRAGCACHE_DYNAMIC_INCLUDE' },
    )
  }
}
