import type { IncomingMessage, ServerResponse } from 'node:http'
import { routeName } from '../node/routes.js'
import { Visit } from '../node/visit.js'
import { warnOfHalf } from '../node/warnings.js'
import { isPage } from './behind-handler.js'

type Half = 'updateCache' | 'fetchFromCache'

/**
 * Warns, outside of production, if one half of the site's cache answers for a route without the other, or in front of
 * the wrong one: nothing is cached then.
 *
 * @remarks It says so for the first page of a route that is neither looked up nor stored, if the two halves have never met.
 *   `fetchFromCache` alone is right where handlers have a `cachePage` of their own.
 */
export class Halves {
  #isInOrder = process.env['NODE_ENV'] === 'production'

  /** The halves have met in their order, or what one does is stored by somebody else. */
  noteOrder(): void {
    this.#isInOrder = true
  }

  watch(half: Half, req: IncomingMessage, res: ServerResponse): void {
    if (this.#isInOrder) return
    res.once('finish', () => {
      const visit = Visit.current(res)
      const isAlone = half === 'updateCache' ? visit?.isWaiting : visit?.isAside
      // What no route answers, such as a file or an error page, may be meant to be left out.
      const { route } = req as { readonly route?: unknown }
      if (isAlone !== true || this.#isInOrder || route === undefined || !isPage(req, res)) return
      this.#isInOrder = true
      warnOfHalf(routeName(req), half)
    })
  }
}
