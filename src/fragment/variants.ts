import type { Cache } from '../cache.js'
import type { Version } from '../keys.js'
import type { Tally } from '../stats/tally.js'
import { fragmentTag } from '../tags.js'
import { fragmentKey } from './key.js'

/** One variant of a fragment: its key and what the backend sees of it. */
export interface Variant {
  readonly key: string
  readonly storedKey: string
  /** Given in the tag; `undefined`: the cache's own. */
  readonly version: Version | undefined
}

/** Most variants whose keys are remembered; making one anew costs an MD5. */
const MAX_REMEMBERED = 20_000

/** Vary-on texts longer than this are hashed every time rather than remembered. */
const MAX_TEXT = 512

const tables = new Set<VariantTable>()
let remembered = 0

function remember(): void {
  if (++remembered <= MAX_REMEMBERED) return
  for (const table of tables) table.forget()
  tables.clear()
  remembered = 0
}

/** The variants of one fragment name in one cache: a bounded memory of recent keys. */
export class VariantTable {
  /** What an entry of this fragment always depends on. */
  readonly tags: readonly string[]
  readonly #bySingle = new Map<string, Variant>()
  readonly #byNetstring = new Map<string, Variant>()
  #plain: Variant | undefined

  constructor(
    readonly cache: Cache,
    readonly name: string,
    readonly version: Version | undefined,
    readonly colliding: boolean,
    /** Where it is counted what becomes of the fragment. */
    readonly tally: Tally,
  ) {
    this.tags = [fragmentTag(name)]
  }

  forget(): void {
    this.#bySingle.clear()
    this.#byNetstring.clear()
  }

  /** @throws TypeError: a text holds a lone surrogate. */
  findOne(text: string): Variant {
    return this.#bySingle.get(text) ?? this.#remember(this.#bySingle, text, [text])
  }

  /** @throws TypeError: a text holds a lone surrogate. */
  find(texts: readonly string[]): Variant {
    if (texts.length === 1) return this.findOne(texts[0] as string)
    if (texts.length === 0) return (this.#plain ??= this.#make(texts))
    let joined = ''
    for (const text of texts) joined += `${text.length}:${text},`
    return this.#byNetstring.get(joined) ?? this.#remember(this.#byNetstring, joined, texts)
  }

  #remember(known: Map<string, Variant>, text: string, texts: readonly string[]): Variant {
    const variant = this.#make(texts)
    if (text.length <= MAX_TEXT) {
      tables.add(this)
      known.set(text, variant)
      remember()
    }
    return variant
  }

  #make(texts: readonly string[]): Variant {
    const key = fragmentKey(this.name, texts, this.colliding)
    const { version } = this
    return { key, storedKey: this.cache.checkedKey(key, version), version }
  }
}
