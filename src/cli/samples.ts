import type { Kind, ListedEntry } from '../pages/listed.js'

/** Entries of one kind; of fragments, those of one name. */
export interface Sample {
  readonly kind: Kind
  /** Of fragments. */
  readonly name?: string
  readonly entries: number
  /** At most five. */
  readonly keys: readonly string[]
  /** Of pages: at most five of their URLs. */
  readonly urls?: readonly string[]
}

const MAX_SHOWN = 5

/** Counts entries by what they are, and keeps a few of their keys and URLs. */
export class Samples {
  readonly #byId = new Map<string, Sample>()

  add({ kind, key, url }: Pick<ListedEntry, 'kind' | 'key' | 'url'>): void {
    const name = kind === 'fragment' ? nameOf(key) : undefined
    const id = `${kind}:${name ?? ''}`
    const { entries, keys, urls } = this.#byId.get(id) ?? { entries: 0, keys: [] }
    const all = withSome(urls ?? [], url)
    this.#byId.set(id, {
      kind,
      ...(name !== undefined && { name }),
      entries: entries + 1,
      keys: withSome(keys, key),
      ...(all.length > 0 && { urls: all }),
    })
  }

  /** The most frequent first. */
  get all(): readonly Sample[] {
    return [...this.#byId.values()].sort((a, b) => b.entries - a.entries)
  }
}

/** A URL has several pages: each is shown once. */
function withSome(texts: readonly string[], text: string | undefined): readonly string[] {
  if (text === undefined || texts.length >= MAX_SHOWN || texts.includes(text)) return texts
  return [...texts, text]
}

/** A line for people. */
export function showSample({ kind, name, entries, keys, urls }: Sample): string {
  const what = name === undefined ? kind : `fragment ${JSON.stringify(name)}`
  const shown = urls ?? keys
  const rest = entries > shown.length ? ', …' : ''
  return `${entries} × ${what}: ${shown.join(', ')}${rest}`
}

/** `template.cache.NAME.DIGEST` */
function nameOf(key: string): string {
  return key.slice('template.cache.'.length, key.lastIndexOf('.'))
}
