import type { Application } from 'express'

interface Layer {
  readonly handle?: unknown
  readonly route?: unknown
  /** Express 5: it matches every path. */
  readonly slash?: unknown
  /** Express 4: `fast_slash` says the same. */
  readonly regexp?: { readonly fast_slash?: unknown }
}

/** Express 4 begins every application with two layers of its own. */
const OWN_LAYERS_OF_4 = 2

/**
 * The first middleware of an application, if it is used for every path.
 *
 * @returns `undefined` if there is none, or if the router has another structure.
 */
export function firstMiddleware(app: Application): unknown {
  const inner = app as unknown as Record<
    'router' | '_router',
    { readonly stack?: unknown } | undefined
  >
  // Express 4 throws where Express 5 has the router.
  const isExpress4 = inner._router !== undefined
  const stack = (isExpress4 ? inner._router : tryToRead(() => inner.router))?.stack
  if (!Array.isArray(stack)) return undefined
  const first = (stack as Layer[])[isExpress4 ? OWN_LAYERS_OF_4 : 0]
  if (first === undefined || first.route !== undefined) return undefined
  return (isExpress4 ? first.regexp?.fast_slash : first.slash) === true ? first.handle : undefined
}

function tryToRead<T>(read: () => T): T | undefined {
  try {
    return read()
  } catch {
    return undefined
  }
}
