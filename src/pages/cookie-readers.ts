import { Moments } from '../moments.js'

/**
 * Remembers whose handlers were seen to read cookies, by route, or by URI where there is no route: a
 * handler counts though it may not have read any for the latest page.
 */
export class CookieReaders {
  readonly #routes = new WeakSet<object>()
  /** A URI that was forgotten counts as one whose handler reads cookies. */
  readonly #uris = new Moments()
  #reads = 0

  note(uri: string, route: object | undefined): void {
    if (route === undefined) this.#uris.note(uri, ++this.#reads)
    else this.#routes.add(route)
  }

  has(uri: string, route: object | undefined): boolean {
    return route === undefined ? this.#uris.of(uri) > 0 : this.#routes.has(route)
  }
}
