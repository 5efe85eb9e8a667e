import type { Application } from 'express'
import type { PageLookup, PageStore } from './page-store.js'

/** What a listener in front has found out about a request before the application sees it. */
interface Front {
  /** Nothing that the application does comes before the cache. */
  readonly isOutermost: boolean
  readonly store: PageStore
  readonly uri: string
  readonly lookup: PageLookup
}

const fronts = new WeakMap<object, Front>()

export function passBehind(req: object, front: Front): void {
  fronts.set(req, front)
}

/** Whether the cache is the first to see a request, and so the last to see its answer. */
export function isInFront(req: object): boolean {
  return fronts.get(req)?.isOutermost === true
}

/** What was looked up in front already. */
export function takeLookup(req: object, store: PageStore, uri: string): PageLookup | undefined {
  const front = fronts.get(req)
  if (front?.store !== store || front.uri !== uri) return undefined
  return front.lookup
}

interface Layer {
  readonly name?: unknown
  readonly handle?: unknown
}

/** Express 4 puts these before what the application uses. */
const OWN_LAYERS: readonly unknown[] = ['query', 'expressInit']

/**
 * Whether the first thing an application does with a request is one of these middlewares.
 *
 * @remarks Where the application cannot be looked into, it is not.
 */
export function beginsWith(app: Application, isMiddleware: (handle: unknown) => boolean): boolean {
  const inner = app as unknown as Record<'router' | '_router', unknown>
  // Express 4 throws where Express 5 has the router.
  const router = inner._router ?? tryToRead(() => inner.router)
  const stack = (router as { readonly stack?: unknown } | undefined)?.stack
  if (!Array.isArray(stack)) return false
  const first = (stack as Layer[]).find(({ name }) => !OWN_LAYERS.includes(name))
  const path = (first as { readonly path?: unknown; readonly route?: unknown } | undefined)?.route
  return first !== undefined && path === undefined && isMiddleware(first.handle)
}

function tryToRead(read: () => unknown): unknown {
  try {
    return read()
  } catch {
    return undefined
  }
}
