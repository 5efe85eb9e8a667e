import type { OutageMessage } from '../../src/observe/channels.js'
import type { Outage } from './api.js'
import { errorText } from './text.js'

/** Outages of one cache that are remembered. */
const MAX_OUTAGES = 50

/** When which cache did not answer. */
export class Outages {
  readonly #byAlias = new Map<string, Outage[]>()

  /** @param aliases - Those that messages are taken for. */
  constructor(aliases: Iterable<string>) {
    for (const alias of aliases) this.#byAlias.set(alias, [])
  }

  /** @param isPartial - It is one of what the cache stands on. */
  add({ alias, error, since, until }: OutageMessage, isPartial: boolean): void {
    const outages = this.#byAlias.get(alias)
    if (outages === undefined) return
    const at = outages.findIndex(({ sinceMs }) => sinceMs === since)
    const outage: Outage = {
      sinceMs: since,
      ...(until !== undefined && { untilMs: until }),
      error: errorText(error),
      ...(isPartial && { isPartial }),
    }
    if (at === -1) outages.push(outage)
    else outages[at] = outage
    if (outages.length > MAX_OUTAGES) outages.shift()
  }

  /** The latest last. */
  of(alias: string): readonly Outage[] {
    return this.#byAlias.get(alias) ?? []
  }

  /** The one that lasts. */
  lasting(alias: string): Outage | undefined {
    return this.of(alias).findLast(({ untilMs }) => untilMs === undefined)
  }
}
