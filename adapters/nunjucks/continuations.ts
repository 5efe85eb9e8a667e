import { AsyncResource } from 'node:async_hooks'
import type { Context, Engine, Extension, Filter } from './engine.js'
import { EXTENSION } from './parse-settings.js'

/** What compiled code hands out, to go on there once something has answered. */
type Continuation<R extends unknown[] = unknown[]> = (
  error: Error | null | undefined,
  ...results: R
) => void

/**
 * Hands out a continuation whose errors reach whoever renders.
 *
 * Compiled code catches what is thrown while it is called first. What its continuations throw in a
 * later turn would go to whoever calls back, who is no part of the template: the render would never
 * end, and the process would. Called again with the error, a continuation passes it on.
 *
 * @param start - Begins what calls back.
 */
export function withContinuation<T, R extends unknown[]>(
  goOn: Continuation<R>,
  start: (goOn: Continuation<R>) => T,
): T {
  let hasReturned = false
  let failure: { readonly error: unknown } | undefined
  const guarded: Continuation<R> = (...answer) => {
    try {
      goOn(...answer)
    } catch (error) {
      // Compiled code is still there to catch it. Whoever calls back may be an async function, whose
      // promise would reject.
      if (!hasReturned) failure ??= { error }
      else (goOn as Continuation)(error instanceof Error ? error : new Error(String(error)))
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
  const { addExtension, extensions, extensionsList } = engine
  for (const [name, extension] of Object.entries(extensions)) {
    if (name === EXTENSION) continue
    const guarded = guardExtension(extension)
    extensions[name] = guarded
    extensionsList.splice(extensionsList.indexOf(extension), 1, guarded)
  }
  engine.addExtension = (name, extension) =>
    addExtension.call(engine, name, guardExtension(extension))
}

/** The compiler does not tell which method a tag calls, nor do precompiled templates. */
function guardExtension(extension: Extension): Extension {
  const methods = new WeakMap<object, unknown>()
  const guard = (method: (...args: unknown[]) => unknown) =>
    function (this: unknown, ...args: unknown[]): unknown {
      const own = this === proxy ? extension : this
      const goOn = args.at(-1)
      // A body has one parameter.
      const isAsynchronous = typeof goOn === 'function' && goOn.length === 2 && isContext(args[0])
      if (!isAsynchronous) return method.apply(own, args)
      return withContinuation(goOn as Continuation, (inner) =>
        method.apply(own, [...args.slice(0, -1), inner]),
      )
    }
  const proxy = new Proxy(extension, {
    get(target, name) {
      const value: unknown = Reflect.get(target, name)
      if (typeof value !== 'function' || isFixed(target, name)) return value
      if (!methods.has(value)) methods.set(value, guard(value as never))
      return methods.get(value)
    },
    set: (target, name, value) => Reflect.set(target, name, value),
  })
  return proxy
}

/** Whether a proxy must show the property as it is. */
function isFixed(target: object, name: string | symbol): boolean {
  const { configurable, writable } = Object.getOwnPropertyDescriptor(target, name) ?? {}
  return configurable === false && writable === false
}

function isContext(value: unknown): value is Context {
  return typeof value === 'object' && value !== null && 'ctx' in value && 'exported' in value
}
