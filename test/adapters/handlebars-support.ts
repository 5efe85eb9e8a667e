import { registerCache } from 'fragcache/handlebars'
import Handlebars from 'handlebars'
import { createCaches, FragmentCache, LocMemCache, type Caches } from '../../src/index.js'
import type { Kind } from '../conformance/fragment-suite.js'
import { AsyncTestCache } from '../support/async-cache.js'

export interface Page {
  readonly kind: Kind
  readonly handlebars: typeof Handlebars
  readonly caches: Caches
  readonly fragments: FragmentCache
  /** The cache behind `default` where the kind is `async`. */
  readonly far: AsyncTestCache
  readonly renderAsync: ReturnType<typeof registerCache>['renderAsync']
  /** Renders by the kind's call; the same source is compiled once. */
  render(
    template: string | Handlebars.TemplateDelegate,
    context?: unknown,
    options?: Handlebars.RuntimeOptions,
  ): Promise<string>
}

/** An instance with the tag, over local memory or over an asynchronous cache. */
export function setUp(kind: Kind, compileOptions: CompileOptions = {}): Page {
  const far = new AsyncTestCache()
  const caches = createCaches({
    default: kind === 'sync' ? new LocMemCache({ options: { maxEntries: 50_000 } }) : far,
    local: new LocMemCache(),
    other: kind === 'sync' ? new LocMemCache() : new AsyncTestCache(),
  })
  const fragments = new FragmentCache(caches)
  const handlebars = Handlebars.create()
  const { renderAsync } = registerCache(handlebars, fragments)
  const compiled = new Map<string, Handlebars.TemplateDelegate>()
  const compile = (source: string) => {
    const template = compiled.get(source) ?? handlebars.compile(source, { ...compileOptions })
    compiled.set(source, template)
    return template
  }
  return {
    kind,
    handlebars,
    caches,
    fragments,
    far,
    renderAsync,
    async render(template, context, options) {
      const render = typeof template === 'string' ? compile(template) : template
      return kind === 'sync'
        ? render(context, options)
        : renderAsync(render as (context: unknown) => string, context, options)
    },
  }
}

/** A helper that counts how often a body ran, and shows it. */
export function countRuns({ handlebars }: Pick<Page, 'handlebars'>): () => number {
  let runs = 0
  handlebars.registerHelper('run', () => String(++runs))
  return () => runs
}
