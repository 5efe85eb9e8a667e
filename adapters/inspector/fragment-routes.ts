import { BoundedMemo, bytesOfText, bytesOfTexts, MemoBudget } from '../../src/bounded-memo.js'
import type { FragmentRoute } from './api.js'
import type { Answering } from './requests.js'
import { cutText } from './text.js'

/** What is known of all fragments together takes at most so many bytes. */
const MAX_BYTES = 8 * 1024 * 1024
const MAX_PATHS = 5
/** Longer routes and paths are cut. */
const MAX_TEXT = 200

/** How often a fragment was shown on a route. */
interface Seen {
  times: number
  readonly paths: readonly string[]
}

/** What was shown on a route, of one cache. */
interface Shown {
  readonly alias: string
  readonly route: string
  /** By the names of fragments. */
  readonly seen: BoundedMemo<Seen>
}

/** On which routes fragments are shown, from when somebody looks until nobody does. */
export class FragmentRoutes {
  #budget = new MemoBudget(MAX_BYTES)
  #byRoute = this.#newMemo()
  /** Most requests ask for many fragments of one cache. */
  #last: { readonly of: Answering; readonly shown: Shown } | undefined

  /**
   * Notes that a fragment is shown in the answer to a request.
   *
   * @param knownRoute - Of the stored page that it is in: no router finds one for a page from the cache.
   */
  add(around: Answering, alias: string, name: string, knownRoute?: string): void {
    const { seen } =
      knownRoute === undefined ? this.#shown(around, alias) : this.#find(alias, knownRoute)
    const path = cutText(around.path, MAX_TEXT)
    const known = seen.get(name)
    if (known === undefined) {
      seen.set(name, { times: 1, paths: [path] })
      return
    }
    known.times++
    const { times, paths } = known
    if (paths.length >= MAX_PATHS || paths.includes(path)) return
    seen.set(name, { times, paths: [...paths, path] })
  }

  #shown(around: Answering, alias: string): Shown {
    const last = this.#last
    // A router finds the route, or a part of it, after the request has come.
    const isSame = last?.of === around && last.shown.alias === alias && !around.route.hasChanged()
    if (isSame) return last.shown
    const shown = this.#find(alias, around.route.name)
    this.#last = { of: around, shown }
    return shown
  }

  #find(alias: string, whole: string): Shown {
    const route = cutText(whole, MAX_TEXT)
    const key = JSON.stringify([alias, route])
    const known = this.#byRoute.get(key)
    if (known !== undefined) return known
    const seen = new BoundedMemo(({ paths }: Seen) => 100 + bytesOfTexts(paths), this.#budget)
    const shown = { alias, route, seen }
    this.#byRoute.set(key, shown)
    return shown
  }

  /** The most frequent first. */
  of(alias: string, name: string): readonly FragmentRoute[] {
    const routes: FragmentRoute[] = []
    for (const { alias: its, route, seen } of this.#byRoute.values()) {
      const found = its === alias ? seen.peek(name) : undefined
      if (found !== undefined) routes.push({ route, times: found.times, paths: found.paths })
    }
    return routes.sort((a, b) => b.times - a.times)
  }

  clear(): void {
    this.#budget = new MemoBudget(MAX_BYTES)
    this.#byRoute = this.#newMemo()
    this.#last = undefined
  }

  #newMemo(): BoundedMemo<Shown> {
    return new BoundedMemo(
      ({ alias, route }: Shown) => 500 + bytesOfText(alias) + bytesOfText(route),
      this.#budget,
    )
  }
}
