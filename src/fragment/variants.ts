import { BoundedMemo, bytesOfText, bytesOfTexts } from '../bounded-memo.js'
import type { CacheCore } from '../backend/core.js'
import type { Version } from '../keys.js'
import type { Tally } from '../observe/tally.js'
import { fragmentTag } from '../tags.js'
import { fragmentKey } from './key.js'

/** One variant of a fragment: its key, and what the backend sees of it. */
export interface Variant {
  readonly key: string
  readonly storedKey: string
  /** The texts of its vary-on values. */
  readonly texts: readonly string[]
  /** The tag's version; `undefined`: the cache's own. */
  readonly version: Version | undefined
  /** The latest `Fragment` of this variant, for a tag without keywords. */
  last: object | undefined
}

/** What a variant takes beside its two keys, with its fragment. */
const VARIANT_BYTES = 250

const bytesOfVariant = ({ key, storedKey, texts }: Variant): number =>
  VARIANT_BYTES + bytesOfText(key) + bytesOfText(storedKey) + bytesOfTexts(texts)

/** The variants of one fragment name in one cache: a memo of recent keys, since each costs an MD5. */
export class VariantTable {
  /** What an entry of this fragment always depends on. */
  readonly tags: readonly string[]
  readonly #bySingle = new BoundedMemo(bytesOfVariant)
  #byNetstring: BoundedMemo<Variant> | undefined
  #plain: Variant | undefined

  constructor(
    readonly cache: CacheCore,
    readonly name: string,
    readonly version: Version | undefined,
    readonly colliding: boolean,
    /** Where it is counted what becomes of the fragment. */
    readonly tally: Tally,
  ) {
    this.tags = [fragmentTag(name)]
  }

  /** @throws TypeError: a text holds a lone surrogate. */
  findOne(text: string): Variant {
    return this.#bySingle.get(text) ?? this.#remember(this.#bySingle, text, [text])
  }

  /**
   * @param digest - Of its template, where that is a part of the key.
   * @throws TypeError: a text holds a lone surrogate.
   */
  find(texts: readonly string[], digest?: string): Variant {
    if (digest === undefined) {
      if (texts.length === 1) return this.findOne(texts[0] as string)
      if (texts.length === 0) return (this.#plain ??= this.#make(texts))
    }
    let joined = digest === undefined ? '' : `d${digest},`
    for (const text of texts) joined += `${text.length}:${text},`
    this.#byNetstring ??= new BoundedMemo(bytesOfVariant)
    return this.#byNetstring.get(joined) ?? this.#remember(this.#byNetstring, joined, texts, digest)
  }

  #remember(
    known: BoundedMemo<Variant>,
    text: string,
    texts: readonly string[],
    digest?: string,
  ): Variant {
    const variant = this.#make(texts, digest)
    known.set(text, variant)
    return variant
  }

  #make(texts: readonly string[], digest?: string): Variant {
    const parts = digest === undefined ? texts : [digest, ...texts]
    const key = fragmentKey(this.name, parts, this.colliding)
    const { version } = this
    return { key, storedKey: this.cache.checkedKey(key, version), texts, version, last: undefined }
  }
}
