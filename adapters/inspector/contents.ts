import { coreOf, type CacheCore } from '../../src/backend/core.js'
import type { Caches } from '../../src/caches.js'
import type { FragmentMessage } from '../../src/observe/channels.js'
import type { ResponseTold, Watched } from '../../src/observe/watch.js'
import { foreignTag, fragmentTag, userTag } from '../../src/tags.js'

export const OF_USER = userTag('')
const OF_OWN_FRAGMENT = fragmentTag('')
const OF_FOREIGN_FRAGMENT = foreignTag(OF_OWN_FRAGMENT)

/** Every kind of stored tag has a mark of the same length. */
export function nameOf(stored: string): string {
  return stored.slice(OF_USER.length)
}

/** The outcomes of what is shown as it was stored: what is inside is reported by nobody. */
const SHOWN_AS_STORED: ReadonlySet<string> = new Set(['hit', 'stale', 'joined'])

const NOTHING: readonly never[] = []

/** A fragment that is inside something stored, and the route of that. */
export interface Contained {
  readonly alias: string
  readonly name: string
  readonly route?: string | undefined
}

/** Tells which fragments are inside something that was shown as this process stored it. */
export class Contents {
  /** By alias. */
  readonly #cores = new Map<string, CacheCore>()

  constructor(
    private readonly caches: Caches,
    private readonly watched: Watched,
  ) {}

  ofFragment({ alias, name, key, outcome }: FragmentMessage): Iterable<Contained> {
    if (!SHOWN_AS_STORED.has(outcome)) return NOTHING
    const core = this.#coreOf(alias)
    // Most have none in them, and to make the key takes longer than the rest.
    if (core?.remembered.hasOthersIn(name) !== true) return NOTHING
    return this.#inside(alias, core, key)
  }

  ofPage({ alias, key, outcome }: ResponseTold): Iterable<Contained> {
    const core = SHOWN_AS_STORED.has(outcome) ? this.#coreOf(alias) : undefined
    return core === undefined ? NOTHING : this.#inside(alias, core, key)
  }

  /** A cache that other caches have too may carry its alias there. */
  #coreOf(alias: string): CacheCore | undefined {
    const known = this.#cores.get(alias)
    if (known !== undefined || !this.caches.has(alias)) return known
    const core = coreOf(this.caches.get(alias))
    this.#cores.set(alias, core)
    return core
  }

  *#inside(alias: string, core: CacheCore, key: string): Generator<Contained> {
    const entry = core.remembered.entryOf(core.keys.make(key))
    if (entry === undefined) return
    const { subject, tags } = entry
    const { kind, name: itself, route } = subject
    for (const stored of tags.keys()) {
      const name = nameOf(stored)
      if (stored.startsWith(OF_OWN_FRAGMENT)) {
        if (kind === 'page' || name !== itself) yield { alias, name, route }
      } else if (stored.startsWith(OF_FOREIGN_FRAGMENT)) {
        for (const other of this.watched.aliases) {
          const isThere = this.watched.tallies.fragments.find(other, name) !== undefined
          if (other !== alias && isThere) yield { alias: other, name, route }
        }
      }
    }
  }
}
