import type { IncomingMessage } from 'node:http'
import type { Tallies, Tally } from '../../src/stats/tally.js'

/** What Express knows of a request once it has found the route. */
interface Routed {
  readonly method?: string | undefined
  readonly baseUrl?: string
  readonly route?: { readonly path?: unknown }
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
  readonly #byUri = new Map<string, Tally>()

  constructor(tallies: Tallies) {
    this.#tallies = tallies
  }

  /** @param uri - Of the page, however the request was written. */
  of(req: IncomingMessage, uri: string, alias: string): Tally {
    const known = this.#byUri.get(uri)
    const { method, route } = req as Routed
    const verb = verbOf(method)
    const name = routeName(req)
    if (route === undefined) {
      if (known?.alias === alias && verb === 'GET') return known
      return this.#tallies.of(alias, name)
    }
    if (known?.name === name && known.alias === alias) return known
    const tally = this.#tallies.of(alias, name)
    if (verb === 'GET' && uri.length <= MAX_URI_LENGTH) this.#remember(uri, tally)
    return tally
  }

  #remember(uri: string, tally: Tally): void {
    this.#byUri.delete(uri)
    this.#byUri.set(uri, tally)
    if (this.#byUri.size <= MAX_URIS) return
    for (const oldest of this.#byUri.keys()) {
      this.#byUri.delete(oldest)
      return
    }
  }
}
