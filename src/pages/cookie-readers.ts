import { Moments } from '../moments.js'

/** Whose handlers were seen to read cookies. */
export class CookieReaders {
  readonly #routes = new WeakSet<object>()
  /** Where there is no route; what is forgotten counts as one of them. */
  readonly #uris = new Moments()
  #reads = 0

  note(uri: string, route: object | undefined): void {
    if (route === undefined) this.#uris.note(uri, ++this.#reads)
    else this.#routes.add(route)
  }

  /** Whether it was seen to read some, though it may not have done so for the latest page. */
  has(uri: string, route: object | undefined): boolean {
    return route === undefined ? this.#uris.of(uri) > 0 : this.#routes.has(route)
  }
}
