import { AsyncResource } from 'node:async_hooks'
import type { Context, Engine, Extension, Filter } from './engine.js'
import { ASYNCHRONOUS } from './other-tags.js'
import { currentPage, inPage } from './pages.js'

/** What compiled code hands out, to go on there once something has answered. */
type Continuation<R extends unknown[] = unknown[]> = (
  error: Error | null | undefined,
  ...results: R
) => unknown

/**
 * Hands out a continuation whose errors reach the caller of the render.
 *
 * Compiled code catches what is thrown while it is called first. What its continuations throw in a later turn
 * would go to the code that calls back, which is not part of the template: the render would never end, and
 * the process would. Called again with the error, a continuation passes it on.
 *
 * @param start - Begins what calls back.
 */
export function withContinuation<T, R extends unknown[]>(
  goOn: Continuation<R>,
  start: (goOn: Continuation<R>) => T,
): T {
  const page = currentPage()
  let hasReturned = false
  let failure: { readonly error: unknown } | undefined
  const guarded: Continuation<R> = (...answer) => {
    try {
      // An asynchronous filter that compiled code calls as a synchronous one ends with a function of
      // the template's, which is no continuation.
      return inPage(page, () => goOn(...answer))
    } catch (error) {
      // Compiled code is still there to catch it. The code that calls back may be an async function, whose
      // promise would reject.
      if (!hasReturned) failure ??= { error }
      else (goOn as Continuation)(error instanceof Error ? error : new Error(String(error)))
      return undefined
    }
  }
  let result: T
  try {
    // One who calls back for many at once does so in the context of one of them.
    result = start(AsyncResource.bind(guarded))
  } finally {
    hasReturned = true
  }
  if (failure !== undefined) throw failure.error
  return result
}

/** Makes what an environment's asynchronous filters and tags call back hand on errors. */
export function guardContinuations(engine: Engine): void {
  guardFilters(engine)
  guardExtensions(engine)
}

function guardFilters(engine: Engine): void {
  const { getFilter } = engine
  const guarded = new WeakMap<Filter, Filter>()
  engine.getFilter = (name) => {
    const filter = getFilter.call(engine, name)
    if (!engine.asyncFilters.includes(name)) return filter
    let own = guarded.get(filter)
    if (own === undefined) {
      own = function (...args) {
        const goOn = args.pop()
        if (!isContext(this) || typeof goOn !== 'function') return filter.call(this, ...args, goOn)
        return withContinuation(goOn as Continuation, (inner) => filter.call(this, ...args, inner))
      }
      guarded.set(filter, own)
    }
    return own
  }
}

function guardExtensions(engine: Engine): void {
  const { getExtension } = engine
  engine.getExtension = (name, use) => {
    const extension = getExtension.call(engine, name)
    return use === ASYNCHRONOUS && extension !== undefined ? guardMethods(extension) : extension
  }
}

/** @returns What has the extension's methods, for calls that end with a continuation. */
function guardMethods(extension: Extension): Extension {
  return new Proxy<Extension>({} as Extension, {
    get(_, name) {
      const method: unknown = Reflect.get(extension, name)
      if (typeof method !== 'function') return method
      return (...args: unknown[]): unknown => {
        const goOn = args.pop() as Continuation
        return withContinuation(goOn, (inner): unknown => method.call(extension, ...args, inner))
      }
    },
  })
}

function isContext(value: unknown): value is Context {
  return typeof value === 'object' && value !== null && 'ctx' in value && 'exported' in value
}
