import type { IncomingMessage } from 'node:http'
import { AsyncSlot, ContextHold } from '../../src/async-slot.js'
import { BoundedMemo, bytesOfText, bytesOfTexts, MemoBudget } from '../../src/bounded-memo.js'
import { routeName } from '../node/routes.js'
import type { FragmentRoute } from './api.js'
import { cutText } from './text.js'

/** What is known of all fragments together takes at most so many bytes. */
const MAX_BYTES = 1024 * 1024
const MAX_PATHS = 5
/** Longer routes and paths are cut. */
const MAX_TEXT = 200

/** A request that is being answered. */
interface Answering {
  readonly request: IncomingMessage
  readonly path: string
}

const answering = new AsyncSlot<Answering>()

/** How often a fragment was shown on a route. */
interface Seen extends FragmentRoute {
  readonly alias: string
  readonly name: string
  times: number
}

/** On which routes fragments are shown, from when somebody looks until nobody does. */
export class FragmentRoutes {
  #seen = newMemo()
  #hold: ContextHold | undefined

  /** Begins to know by which request something happens. */
  track(): void {
    this.#hold = new ContextHold()
    answering.track(this.#hold)
  }

  /** Notes that a request is answered by the calling code. */
  enter(request: IncomingMessage, path: string): void {
    answering.enter({ request, path })
  }

  /**
   * Notes that a fragment is shown by the calling code.
   *
   * @param knownRoute - Of the stored page that it is in: no router finds one for a page from the cache.
   */
  add(alias: string, name: string, knownRoute?: string): void {
    const around = answering.current
    if (around === undefined) return
    // Only now: a router finds the route after the request has come.
    const route = cutText(knownRoute ?? routeName(around.request), MAX_TEXT)
    const path = cutText(around.path, MAX_TEXT)
    const key = JSON.stringify([alias, name, route])
    const seen = this.#seen.get(key) ?? { alias, name, route, times: 0, paths: [] }
    seen.times++
    const isKnown = seen.paths.length >= MAX_PATHS || seen.paths.includes(path)
    if (!isKnown) this.#seen.set(key, { ...seen, paths: [...seen.paths, path] })
  }

  /** The most frequent first. */
  of(alias: string, name: string): readonly FragmentRoute[] {
    return [...this.#seen.values()]
      .filter((seen) => seen.alias === alias && seen.name === name)
      .sort((a, b) => b.times - a.times)
      .map(({ route, times, paths }) => ({ route, times, paths }))
  }

  clear(): void {
    this.#seen = newMemo()
  }

  /** Nobody looks any more. */
  end(): void {
    this.#hold?.release()
    this.clear()
  }
}

function newMemo(): BoundedMemo<Seen> {
  return new BoundedMemo(
    ({ alias, name, route, paths }: Seen) =>
      200 +
      [alias, name, route].reduce((sum, text) => sum + bytesOfText(text), bytesOfTexts(paths)),
    new MemoBudget(MAX_BYTES),
  )
}
