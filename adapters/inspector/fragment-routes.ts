import type { IncomingMessage } from 'node:http'
import { AsyncSlot, ContextHold } from '../../src/async-slot.js'
import { BoundedMemo, bytesOfText, bytesOfTexts, MemoBudget } from '../../src/bounded-memo.js'
import { RequestRoute } from '../node/routes.js'
import type { FragmentRoute } from './api.js'
import { cutText } from './text.js'

/** What is known of all fragments together takes at most so many bytes. */
const MAX_BYTES = 4 * 1024 * 1024
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

/** A request that is being answered. */
class Answering {
  readonly path: string
  readonly #route: RequestRoute
  /** Most requests ask for many fragments of one cache on one route. */
  #last: Shown | undefined

  constructor(request: IncomingMessage, path: string) {
    this.#route = new RequestRoute(request)
    this.path = cutText(path, MAX_TEXT)
  }

  /** @param find - Finds what was shown on its route. */
  shown(alias: string, find: (alias: string, route: string) => Shown): Shown {
    const last = this.#last
    // A router finds the route, or a part of it, after the request has come.
    if (last?.alias === alias && !this.#route.hasChanged()) return last
    return (this.#last = find(alias, this.#route.name))
  }
}

const answering = new AsyncSlot<Answering>()

/** On which routes fragments are shown, from when somebody looks until nobody does. */
export class FragmentRoutes {
  #budget = new MemoBudget(MAX_BYTES)
  #byRoute = this.#newMemo()
  #hold: ContextHold | undefined

  /** Begins to know by which request something happens. */
  track(): void {
    this.#hold = new ContextHold()
    answering.track(this.#hold)
  }

  /** Notes that a request is answered by the calling code. */
  enter(request: IncomingMessage, path: string): void {
    answering.enter(new Answering(request, path))
  }

  /**
   * Notes that a fragment is shown by the calling code.
   *
   * @param knownRoute - Of the stored page that it is in: no router finds one for a page from the cache.
   */
  add(alias: string, name: string, knownRoute?: string): void {
    const around = answering.current
    if (around === undefined) return
    const { path } = around
    const { seen } =
      knownRoute === undefined ? around.shown(alias, this.#find) : this.#find(alias, knownRoute)
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

  readonly #find = (alias: string, whole: string): Shown => {
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
  }

  /** Nobody looks any more. */
  end(): void {
    this.#hold?.release()
    this.clear()
  }

  #newMemo(): BoundedMemo<Shown> {
    return new BoundedMemo(
      ({ alias, route }: Shown) => 500 + bytesOfText(alias) + bytesOfText(route),
      this.#budget,
    )
  }
}
