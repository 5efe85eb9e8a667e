import type { PageLookup } from '../../src/pages/page.js'
import type { PageStore } from '../../src/pages/page-store.js'

/** What the listener in front of an application has found out about a request. */
interface Front {
  /** The first middleware of the application. */
  readonly first: unknown
  readonly store: PageStore
  readonly uri: string
  readonly lookup: PageLookup
}

const fronts = new WeakMap<object, Front>()

export function passBehind(req: object, front: Front): void {
  fronts.set(req, front)
}

/** Whether a middleware is the first to see a request, and so the last to see its response. */
export function isFirst(req: object, middleware: unknown): boolean {
  return fronts.get(req)?.first === middleware
}

/** The result of the look-up in front of the application, if it was the same one. */
export function takeLookup(req: object, store: PageStore, uri: string): PageLookup | undefined {
  const front = fronts.get(req)
  if (front?.store !== store || front.uri !== uri) return undefined
  return front.lookup
}
