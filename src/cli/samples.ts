import type { Kind, ListedEntry } from '../pages/listed.js'

/** Entries of one kind; of fragments, those of one name. */
export interface Sample {
  readonly kind: Kind
  /** Of fragments. */
  readonly name?: string
  readonly entries: number
  /** At most five. */
  readonly keys: readonly string[]
}

const MAX_KEYS = 5

/** Counts entries by what they are, and keeps a few of their keys. */
export class Samples {
  readonly #byId = new Map<string, Sample>()

  add({ kind, key }: Pick<ListedEntry, 'kind' | 'key'>): void {
    const name = kind === 'fragment' ? nameOf(key) : undefined
    const id = `${kind}:${name ?? ''}`
    const { entries, keys } = this.#byId.get(id) ?? { entries: 0, keys: [] }
    this.#byId.set(id, {
      kind,
      ...(name !== undefined && { name }),
      entries: entries + 1,
      keys: keys.length < MAX_KEYS ? [...keys, key] : keys,
    })
  }

  /** The most frequent first. */
  get all(): readonly Sample[] {
    return [...this.#byId.values()].sort((a, b) => b.entries - a.entries)
  }
}

/** A line for people. */
export function showSample({ kind, name, entries, keys }: Sample): string {
  const what = name === undefined ? kind : `fragment ${JSON.stringify(name)}`
  const rest = entries > keys.length ? ', …' : ''
  return `${entries} × ${what}: ${keys.join(', ')}${rest}`
}

/** `template.cache.NAME.DIGEST` */
function nameOf(key: string): string {
  return key.slice('template.cache.'.length, key.lastIndexOf('.'))
}
