import type { EngineCache } from '../../src/engine.js'
import { renderDeferred, renderDeferredAtOnce } from '../../src/fragment/deferred.js'
import { noteCopyOf } from '../../src/fragment/computed-names.js'
import { takeForCopy, watchInPage } from '../../src/fragment/personal.js'
import { plainOf } from '../../src/fragment/watched.js'
import { apartFromBodies, isBodyRunning, noteFailure } from './body.js'
import { withContinuation } from './continuations.js'
import { located, original } from './engine-errors.js'
import { mayWait, noteEnvironment } from './may-wait.js'
import { inPage, notePage, pageOf } from './pages.js'
import type {
  BlockFunction,
  Context,
  Engine,
  NunjucksFrame,
  RenderCallback,
  Template,
} from './engine.js'

/** The place of the callback where compiled code asks for a template. */
const COMPILED_CALLBACK = 4

type TemplateCallback = (error: Error | null | undefined, template?: Template) => void

interface Named {
  readonly name: string | undefined
  /** The name by which a loader gives it. */
  readonly loadable: string | undefined
  readonly path: string | undefined
  readonly template: Template
}

/** What is known of templates, by their main function. */
export class TemplateNames {
  readonly #byRoot = new WeakMap<BlockFunction, Named>()
  readonly #roots = new WeakMap<Template, BlockFunction>()
  /** Those that loaders gave last. */
  readonly #latest = new Map<string, Template>()

  set(root: BlockFunction, named: Named): void {
    this.#byRoot.set(root, named)
    if (named.loadable !== undefined) this.#latest.set(named.loadable, named.template)
    this.#roots.set(named.template, root)
  }

  /** @returns `undefined`: it is not compiled yet. */
  rootOf(template: Template): BlockFunction | undefined {
    return this.#roots.get(template)
  }

  /** The template of a name as it was last compiled, where loaders give it only later. */
  latest(name: string): Template | undefined {
    return this.#latest.get(name)
  }

  loadableNameOf(root: unknown): string | undefined {
    return this.#get(root)?.loadable
  }

  templateOf(root: unknown): Template | undefined {
    return this.#get(root)?.template
  }

  nameOf(root: unknown): string | undefined {
    return this.#get(root)?.name
  }

  /** What the engine calls the template in its messages. */
  pathOf(root: unknown): string | undefined {
    return this.#get(root)?.path
  }

  #get(root: unknown): Named | undefined {
    return typeof root === 'function' ? this.#byRoot.get(root as BlockFunction) : undefined
  }
}

/**
 * Renders by a callback or at once, as the engine does: with a callback over any cache, otherwise
 * over those that answer at once.
 */
function renderTop(
  render: (callback?: RenderCallback) => string | null,
  callback: RenderCallback | undefined,
): string | null {
  if (callback === undefined) {
    try {
      return apartFromBodies(() => render())
    } catch (error) {
      throw original(error as Error)
    }
  }
  const deferred = mayWait() ? renderDeferred : renderDeferredAtOnce
  const text = deferred(
    () =>
      new Promise<string>((resolve, reject) => {
        apartFromBodies(() =>
          render((error, rendered) => {
            if (error === null || error === undefined) resolve(rendered ?? '')
            else reject(original(error))
          }),
        )
      }),
  )
  void text.then(
    // What the callback throws must not become a rejection nobody handles.
    (rendered) => process.nextTick(callback, null, rendered),
    (error: unknown) => process.nextTick(callback, error),
  )
  return null
}

/** Who looks after the templates of an environment. */
const keepers = new WeakMap<Engine, Templates>()

const watchedClasses = new WeakSet<object>()

/** Where a watched context keeps its variables. */
const VARIABLES = Symbol('variables')

type WatchedContext = Context & { [VARIABLES]: Context['ctx'] }

const watchedContexts = new WeakSet<object>()

/** Has the variables of all contexts of a class watched as long as the body of a tag runs. */
function watchContexts(prototype: object): void {
  if (watchedContexts.has(prototype)) return
  watchedContexts.add(prototype)
  // Another copy of this package may watch those of its environments.
  const before = Object.getOwnPropertyDescriptor(prototype, 'ctx')
  Object.defineProperty(prototype, 'ctx', {
    configurable: true,
    get(this: WatchedContext) {
      const variables = before?.get ? (before.get.call(this) as Context['ctx']) : this[VARIABLES]
      return isBodyRunning() ? (keepers.get(this.env)?.watched(variables) ?? variables) : variables
    },
    set(this: WatchedContext, variables: Context['ctx']) {
      if (before?.set) before.set.call(this, variables)
      else this[VARIABLES] = variables
    },
  })
}

/** Has those adopted too that no environment hands out: of a text, or precompiled. */
function watchMadeByHand(engine: Engine, keeper: Templates): void {
  keepers.set(engine, keeper)
  const { prototype } = templateClassOf(engine)
  if (watchedClasses.has(prototype)) return
  watchedClasses.add(prototype)
  const { render } = prototype
  prototype.render = function (this: Template, ...args: Parameters<Template['render']>) {
    const templates = keepers.get(this.env)
    if (templates === undefined || templates.isAdopted(this)) return render.apply(this, args)
    return templates.adopt(this, undefined, true).render(...args)
  }
}

/** The engine is the application's: of its package only the environment is known. */
function templateClassOf(engine: Engine): Template['constructor'] {
  const { loaders } = engine
  engine.loaders = []
  try {
    // Without loaders it finds none, and gives an empty one in its place.
    return (engine.getTemplate('', false, undefined, true) as Template).constructor
  } finally {
    engine.loaders = loaders
  }
}

/** Looks after every template of an environment. */
export class Templates {
  readonly names = new TemplateNames()
  readonly #engine: Engine
  readonly #cache: EngineCache
  readonly #adopted = new WeakSet<Template>()
  #compiling: string | undefined

  /** @param cache - Watches the variables that bodies see, if it watches anything. */
  constructor(engine: Engine, cache: EngineCache) {
    this.#engine = engine
    this.#cache = cache
    watchMadeByHand(engine, this)
    this.#watchGetTemplate()
    noteEnvironment(engine)
  }

  /** The name of the template that is being compiled. */
  get compiling(): string | undefined {
    return this.#compiling
  }

  #compile<T>(name: string | undefined, compile: () => T): T {
    const outer = this.#compiling
    this.#compiling = name
    try {
      return compile()
    } finally {
      this.#compiling = outer
    }
  }

  #watchGetTemplate(): void {
    const engine = this.#engine
    const { getTemplate } = engine
    engine.getTemplate = (...args) => {
      const [wanted] = args
      const name = nameOf(wanted)
      const at = args.findIndex((arg) => typeof arg === 'function')
      if (at < 0) {
        // Wanted compiled, it is compiled before it can be adopted.
        const template = this.#compile(name, () => getTemplate.apply(engine, args))
        return template && this.adopt(template, name, isMadeByHand(wanted))
      }
      const callback = args[at] as TemplateCallback
      const isEager = at > 1 && Boolean(args[1])
      if (isEager) args[1] = false
      const take: TemplateCallback = (error, template) => {
        if (error || template === undefined) return callback(error, template)
        this.adopt(template, name, isMadeByHand(wanted))
        if (isEager) {
          const reason = this.#compileNow(template)
          if (reason !== undefined) return callback(reason)
        }
        callback(null, template)
      }
      const load = (done: TemplateCallback): Template | undefined => {
        args[at] = done
        return getTemplate.apply(engine, args)
      }
      return at === COMPILED_CALLBACK && engine.loaders.some((loader) => loader.async === true)
        ? withContinuation(take, load)
        : load(take)
    }
  }

  /** @returns What is wrong with the template, if anything. */
  #compileNow(template: Template): Error | undefined {
    try {
      template.compile()
      return undefined
    } catch (error) {
      return located(error as Error, template.path, this.#engine.opts.dev)
    }
  }

  /** What is included or imported has a context of its own, and its macros and callers may run in any body. */
  #watchContext(context: Context): void {
    const original = (): unknown => pageOf(context).variables
    if (!isBodyRunning()) context.ctx = watchInPage(context.ctx, this.#cache, original)
    if (!this.#cache.isWatching) return
    if (isBodyRunning()) noteCopyOf(plainOf(context.ctx), original())
    watchContexts(Object.getPrototypeOf(context) as object)
    if (!Object.hasOwn(context, 'ctx')) return
    // It was made before its class was watched.
    const { ctx } = context
    Reflect.deleteProperty(context, 'ctx')
    context.ctx = ctx
  }

  /** Variables as the body of a tag is to see them. */
  watched(variables: Context['ctx']): Context['ctx'] {
    return this.#cache.watch(variables)
  }

  isAdopted(template: Template): boolean {
    return this.#adopted.has(template)
  }

  /** @param isByHand - No loader gives it. */
  adopt(template: Template, name: string | undefined, isByHand: boolean): Template {
    if (this.#adopted.has(template)) return template
    this.#adopted.add(template)
    const { render, _compile: compile, getExported } = template
    const known = name ?? template.path
    const named = {
      name: known,
      loadable: isByHand ? undefined : known,
      path: template.path,
      template,
    }
    const watchRoot = (): void => {
      const root = template.rootRenderFunc
      this.names.set(root, named)
      template.rootRenderFunc = (env, context, frame, runtime, callback) => {
        notePage(context)
        this.#watchContext(context)
        root(env, context, frame, runtime, (error, text) => {
          if (error) noteFailure(error)
          callback(error, text)
        })
      }
    }
    if (template.compiled) watchRoot()
    template._compile = () => {
      this.#compile(named.name, () => compile.call(template))
      watchRoot()
    }
    template.getExported = (context, ...more) => {
      getExported.call(template, plainOf(context), ...more)
    }
    template.render = (context, parentFrame, callback) => {
      if (isFrame(parentFrame)) {
        // Of an included template the engine would tell in a later turn, past a synchronous render.
        const error = this.#compileNow(template)
        if (error === undefined) {
          return render.call(template, plainOf(context), parentFrame, callback)
        }
        callback?.(error)
        return null
      }
      const [all, done] = readRenderArguments(context, parentFrame, callback)
      const given = takeForCopy(all)
      return renderTop(
        (inner) => inPage({ variables: given }, () => render.call(template, given, inner ?? null)),
        done,
      )
    }
    return template
  }
}

/** A template that no loader gives. */
function isMadeByHand(wanted: unknown): boolean {
  return typeof wanted === 'object' && wanted !== null && !('raw' in wanted)
}

/** A name that is relative to another template says nothing. */
function nameOf(wanted: unknown): string | undefined {
  const name: unknown = (wanted as { readonly raw?: unknown } | null)?.raw ?? wanted
  return typeof name === 'string' && !/^\.\.?\//.test(name) ? name : undefined
}

function isFrame(value: unknown): value is NunjucksFrame {
  return typeof value === 'object' && value !== null
}

function readRenderArguments(
  context: unknown,
  parentFrame: unknown,
  callback: RenderCallback | undefined,
): [context: unknown, callback: RenderCallback | undefined] {
  if (typeof context === 'function') return [{}, context as RenderCallback]
  if (typeof parentFrame === 'function') return [context, parentFrame as RenderCallback]
  return [context, callback]
}
