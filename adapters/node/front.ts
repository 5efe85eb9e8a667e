import type { PageLookup } from '../../src/pages/page.js'
import type { PageStore } from '../../src/pages/page-store.js'

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
