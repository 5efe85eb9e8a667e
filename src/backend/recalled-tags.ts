import { BoundedMemo, bytesOfTexts } from '../bounded-memo.js'
import type { TagVersions } from '../tags.js'

/** Most tags of an entry that are remembered. */
const MAX_RECALLED_TAGS = 50

const NO_TAGS: readonly string[] = []

/** The tags that entries had when they were last read, to ask for their counters with them. */
export class RecalledTags {
  /** By stored key, oldest first. */
  #tagsOf: BoundedMemo<readonly string[]> | undefined

  of(storedKey: string): readonly string[] {
    return this.#tagsOf?.get(storedKey) ?? NO_TAGS
  }

  note(storedKey: string, tags: TagVersions): void {
    if (tags.size > MAX_RECALLED_TAGS) return
    this.#tagsOf ??= new BoundedMemo(bytesOfTexts)
    const known = this.#tagsOf.get(storedKey)
    if (known?.length === tags.size && known.every((tag) => tags.has(tag))) return
    this.#tagsOf.set(storedKey, [...tags.keys()])
  }

  /** The tags that are expected, and those that the entries of these keys had. */
  with(storedKeys: readonly string[], expected: readonly string[]): readonly string[] {
    if (this.#tagsOf === undefined) return expected
    let all: Set<string> | undefined
    for (const storedKey of storedKeys) {
      for (const tag of this.of(storedKey)) {
        all ??= new Set(expected)
        if (all.size - expected.length >= MAX_RECALLED_TAGS) return [...all]
        all.add(tag)
      }
    }
    return all === undefined || all.size === expected.length ? expected : [...all]
  }
}
