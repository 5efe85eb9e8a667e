import type { Request, Response } from 'express'

/** What Express's routers are made of, as far as it is looked at here. */
interface Layer {
  /** An error handler has four parameters. */
  readonly handle?: { readonly length: number }
}

type HandleError = (this: Layer, error: unknown, req: Request, res: Response, next: unknown) => void

/** Of Express 4 and of Express 5. */
const NAMES = ['handle_error', 'handleError']

const watched = new WeakSet<object>()

/**
 * Tells from now on of each error that Express gives to an error handler, in any application of this
 * copy of Express: nothing public says so, and a page that such a handler ends is no whole one.
 *
 * @param onError - Called before the handler is.
 * @remarks Where Express's routers are made otherwise, nobody is told.
 */
export function watchErrorHandlers(req: Request, onError: (res: Response) => void): void {
  const layer = layersOf(req)?.[0]
  if (typeof layer !== 'object') return
  const made = Object.getPrototypeOf(layer) as Record<string, HandleError | undefined> | null
  if (made === null || watched.has(made)) return
  watched.add(made)
  for (const name of NAMES) {
    const handle = made[name]
    if (typeof handle !== 'function') continue
    made[name] = function (error, request, response, next) {
      if (this.handle?.length === 4) onError(response)
      handle.call(this, error, request, response, next)
    }
  }
}

function layersOf({ app }: Request): readonly Layer[] | undefined {
  const { _router } = (app ?? {}) as { readonly _router?: Partial<Router> }
  if (_router !== undefined) return _router.stack
  try {
    return (app as { readonly router?: Partial<Router> } | undefined)?.router?.stack
  } catch {
    // Express 4 throws where it is asked.
    return undefined
  }
}

interface Router {
  readonly stack: readonly Layer[]
}
