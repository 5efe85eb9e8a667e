import type { StoredEntry } from './remembered.js'

/** Fragments of one name that would be dropped. */
export interface DependentFragment {
  readonly name: string
  /** The templates that rendered them. Empty if they were rendered from code. */
  readonly templates: readonly string[]
  readonly entries: number
  /** At most five of their keys. */
  readonly keys: readonly string[]
}

/** Pages of one route that would be dropped. */
export interface DependentPages {
  /** The route as in statistics: `GET /countries/:code`. */
  readonly route: string
  readonly entries: number
  /** At most five of their URLs. */
  readonly urls: readonly string[]
}

/** Values of the low-level API that would be dropped. */
export interface DependentValues {
  readonly entries: number
  /** At most five of their keys. */
  readonly keys: readonly string[]
}

/**
 * What an invalidation would drop: the entries that this process stored and remembers, and that their stores
 * still have, fresh or stale. The most frequent come first.
 */
export interface Dependents {
  readonly entries: number
  readonly fragments: readonly DependentFragment[]
  readonly pages: readonly DependentPages[]
  readonly values: DependentValues
  /**
   * `false`: there may be more. Other processes or other caches store their entries in the same place, this process
   * stored more than it remembers, or a store did not answer.
   */
  readonly isWhole: boolean
}

const MAX_SAMPLES = 5

/** A few of many, and how many they are. */
class Samples {
  entries = 0
  readonly some = new Set<string>()
  readonly templates = new Set<string>()

  add(sample: string): void {
    this.entries++
    if (this.some.size < MAX_SAMPLES) this.some.add(sample)
  }
}

/** @param found - What would be dropped in each of the caches in question. */
export function toDependents(
  found: readonly { readonly entries: readonly StoredEntry[]; readonly isWhole: boolean }[],
): Dependents {
  const fragments = new Map<string, Samples>()
  const pages = new Map<string, Samples>()
  const values = new Samples()
  let entries = 0
  for (const { subject } of found.flatMap((one) => one.entries)) {
    const { kind, key, name, template, route = '' } = subject
    entries++
    if (kind === 'value') values.add(key)
    else if (kind === 'page') samplesOf(pages, route).add(name)
    else {
      const samples = samplesOf(fragments, name)
      samples.add(key)
      if (template !== undefined) samples.templates.add(template)
    }
  }
  return {
    entries,
    fragments: mostFirst(fragments).map(([name, { entries, some, templates }]) => {
      return { name, templates: [...templates], entries, keys: [...some] }
    }),
    pages: mostFirst(pages).map(([route, { entries, some }]) => {
      return { route, entries, urls: [...some] }
    }),
    values: { entries: values.entries, keys: [...values.some] },
    isWhole: found.every((one) => one.isWhole),
  }
}

function samplesOf(all: Map<string, Samples>, name: string): Samples {
  let samples = all.get(name)
  if (samples === undefined) all.set(name, (samples = new Samples()))
  return samples
}

function mostFirst(all: ReadonlyMap<string, Samples>): (readonly [string, Samples])[] {
  return [...all].sort(([, a], [, b]) => b.entries - a.entries)
}
