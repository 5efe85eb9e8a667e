import type { IncomingMessage } from 'node:http'
import { BoundedMemo, bytesOfText } from '../../src/bounded-memo.js'
import type { Tallies, Tally } from '../../src/observe/tally.js'

/** What Express adds to a request once it has found the route. */
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

/** The name of the route of a request, which is read again only when a router has found more of it. */
export class RequestRoute {
  readonly #req: Routed & IncomingMessage
  #route: object | undefined
  #baseUrl: string | undefined
  #name: string | undefined

  constructor(req: IncomingMessage) {
    this.#req = req
  }

  /** Whether it is another one than when its name was asked for. */
  hasChanged(): boolean {
    const { route, baseUrl } = this.#req
    return this.#name === undefined || this.#route !== route || this.#baseUrl !== baseUrl
  }

  /** As {@link routeName}. */
  get name(): string {
    if (this.#name !== undefined && !this.hasChanged()) return this.#name
    const { route, baseUrl } = this.#req
    this.#route = route
    this.#baseUrl = baseUrl
    return (this.#name = routeName(this.#req))
  }
}

/**
 * Counts what becomes of requests, by route. A hit of `cacheSite` is answered before Express has found the
 * route; it is counted for the route that the page had when it was rendered.
 */
export class Routes {
  readonly #tallies: Tallies
  readonly #byUri = new BoundedMemo(bytesOfKnown)

  constructor(tallies: Tallies) {
    this.#tallies = tallies
  }

  /** Whether anybody is going to ask why pages were missing. */
  get countsCauses(): boolean {
    return this.#tallies.countsCauses
  }

  /** @param uri - Of the page, however the request was written. */
  of(req: IncomingMessage, uri: string, alias: string): Tally {
    const { method, route, baseUrl } = req as Routed
    const isOfPage = verbOf(method) === 'GET'
    const known = isOfPage ? this.#byUri.get(uri) : undefined
    if (known?.tally.alias === alias) {
      const { routed } = known
      const isSame = routed.route === route && routed.baseUrl === baseUrl
      // To build the route's name would cost more than the rest of a hit.
      if (route === undefined || isSame) return known.tally
    }
    const tally = this.#tallies.of(alias, routeName(req))
    if (isOfPage && route !== undefined) this.#byUri.set(uri, { tally, routed: { route, baseUrl } })
    return tally
  }

  /** The route of a request, or the one that its page's URI had when it was last seen with one. */
  routeOf(req: IncomingMessage, uri: string): object | undefined {
    return (req as Routed).route ?? this.#byUri.get(uri)?.routed.route
  }
}

/** The route that a page's URI had when it was last seen with one. */
interface Known {
  readonly tally: Tally
  readonly routed: Routed
}

function bytesOfKnown({ routed: { baseUrl = '' } }: Known): number {
  return 100 + bytesOfText(baseUrl)
}
