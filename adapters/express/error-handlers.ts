import type { Request, Response } from 'express'

/** A layer of Express's routers, as far as it is used here. */
interface Layer {
  /** An error handler has four parameters; a router has layers of its own. */
  readonly handle?: { readonly length: number; readonly stack?: unknown }
}

type HandleError = (
  this: Layer,
  error: unknown,
  req: Request,
  res: Response,
  next: unknown,
) => unknown

/** Of Express 4 and of Express 5. */
const NAMES = ['handle_error', 'handleError']

const watched = new WeakSet<object>()

/** Routers that were looked through, with how many layers they had then. */
const lookedThrough = new WeakMap<object, number>()

/**
 * Reports from now on each error that Express passes to an error handler, in all copies of Express that handle the
 * request. Nothing public reports that, and a page that such a handler ends is incomplete.
 *
 * @param req - The applications that are watched are the one that handles it and those it is mounted in.
 * @param onError - Called before the error handler is.
 * @remarks Where Express's routers have another structure, nothing is reported.
 */
export function watchErrorHandlers(req: Request, onError: (res: Response) => void): void {
  const seen = new Set<App>()
  for (let app = req.app as App | undefined; app !== undefined; app = app.parent) {
    if (seen.has(app)) return
    seen.add(app)
    watchRouter(routerOf(app), onError)
  }
}

/** A router may be of another copy than the application, or router, that it is used in. */
function watchRouter(router: Router | undefined, onError: (res: Response) => void): void {
  const stack = router?.stack
  if (router === undefined || !Array.isArray(stack)) return
  if (lookedThrough.get(router) === stack.length) return
  lookedThrough.set(router, stack.length)
  for (const layer of stack as readonly (Layer | undefined)[]) {
    if (typeof layer !== 'object') continue
    watchLayers(layer, onError)
    if (typeof layer.handle === 'function') watchRouter(layer.handle, onError)
  }
}

function watchLayers(layer: Layer, onError: (res: Response) => void): void {
  const made = Object.getPrototypeOf(layer) as Record<string, HandleError | undefined> | null
  if (made === null || watched.has(made)) return
  watched.add(made)
  for (const name of NAMES) {
    const handle = made[name]
    if (typeof handle !== 'function') continue
    // `Reflect.set`, since a frozen prototype must not fail the page.
    Reflect.set(made, name, function (this: Layer, ...args: Parameters<HandleError>) {
      if (this.handle?.length === 4) onError(args[2])
      return handle.apply(this, args)
    })
  }
}

function routerOf(app: App): Router | undefined {
  try {
    return app._router ?? app.router
  } catch {
    // Express 4 throws on access.
    return undefined
  }
}

interface App {
  readonly _router?: Router
  readonly router?: Router
  readonly parent?: App
}

interface Router {
  readonly stack?: unknown
}
