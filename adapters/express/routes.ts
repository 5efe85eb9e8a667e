import type { IncomingMessage } from 'node:http'
import type { Tallies, Tally } from '../../src/stats/tally.js'

/** What Express knows of a request once it has found the route. */
interface Routed {
  readonly method?: string | undefined
  readonly baseUrl?: string | undefined
  readonly route?: { readonly path?: unknown } | undefined
}

/** HEAD and GET share their pages. */
function verbOf(method = 'GET'): string {
  return method === 'HEAD' ? 'GET' : method
}

/** Such as `GET /countries/:code`; `GET (any)` before there is a route. */
export function routeName(req: IncomingMessage): string {
  const { method, route, baseUrl = '' } = req as Routed
  return `${verbOf(method)} ${route === undefined ? '(any)' : `${baseUrl}${String(route.path)}`}`
}

/** Most URIs whose route is remembered. */
const MAX_URIS = 10_000

/** Longer ones are not worth the memory: anybody may send any number of them. */
const MAX_URI_LENGTH = 1024

/**
 * Where it is counted what becomes of requests, by route. A hit for the whole site is answered before
 * there is a route: what it was when the page was made is remembered.
 */
export class Routes {
  readonly #tallies: Tallies
  readonly #byUri = new Map<string, Known>()

  constructor(tallies: Tallies) {
    this.#tallies = tallies
  }

  /** @param uri - Of the page, however the request was written. */
  of(req: IncomingMessage, uri: string, alias: string): Tally {
    const { method, route, baseUrl } = req as Routed
    const isOfPage = verbOf(method) === 'GET'
    const known = isOfPage ? this.#byUri.get(uri) : undefined
    if (known?.tally.alias === alias) {
      const { routed } = known
      const isSame = routed.route === route && routed.baseUrl === baseUrl
      // To make a name of it would cost a hit more than all the rest.
      if (route === undefined || isSame) return known.tally
    }
    const tally = this.#tallies.of(alias, routeName(req))
    if (isOfPage && route !== undefined && uri.length <= MAX_URI_LENGTH) {
      this.#remember(uri, { tally, routed: { route, baseUrl } })
    }
    return tally
  }

  #remember(uri: string, known: Known): void {
    this.#byUri.delete(uri)
    this.#byUri.set(uri, known)
    if (this.#byUri.size <= MAX_URIS) return
    for (const oldest of this.#byUri.keys()) {
      this.#byUri.delete(oldest)
      return
    }
  }
}

/** The route that a page's URI had when it was last seen with one. */
interface Known {
  readonly tally: Tally
  readonly routed: Routed
}
