import type { Application } from 'express'
import type { PageLookup } from './page.js'
import type { PageStore } from './page-store.js'

/** What a listener in front has found out about a request before the application sees it. */
interface Front {
  /** The middleware that is the first thing the application uses. */
  readonly first: unknown
  readonly store: PageStore
  readonly uri: string
  readonly lookup: PageLookup
}

const fronts = new WeakMap<object, Front>()

export function passBehind(req: object, front: Front): void {
  fronts.set(req, front)
}

/** Whether a middleware is the first to see a request, and so the last to see its answer. */
export function isFirst(req: object, middleware: unknown): boolean {
  return fronts.get(req)?.first === middleware
}

/** What was looked up in front already. */
export function takeLookup(req: object, store: PageStore, uri: string): PageLookup | undefined {
  const front = fronts.get(req)
  if (front?.store !== store || front.uri !== uri) return undefined
  return front.lookup
}

interface Layer {
  readonly handle?: unknown
  readonly route?: unknown
  /** Express 5: it is for every path. */
  readonly slash?: unknown
  /** Express 4: the same is in here. */
  readonly regexp?: { readonly fast_slash?: unknown }
}

/** Express 4 begins every application with two layers of its own. */
const OWN_LAYERS_OF_4 = 2

/**
 * The middleware that an application begins with, whatever the path.
 *
 * @returns `undefined` where it begins otherwise, or cannot be looked into.
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
