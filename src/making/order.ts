import type { Claim } from '../backend/entries.js'
import type { CacheCore } from '../backend/core.js'
import type { AgeingPolicy } from '../staleness.js'
import type { TagVersions } from '../tags.js'

/** Something that is to be found under a key, or made. */
export interface Order {
  readonly cache: CacheCore
  readonly key: string
  readonly storedKey: string
  /** Stored tags. */
  readonly tags: readonly string[]
  /** Left out: it is made by one in this process, and past its time it is gone. */
  readonly ageing: AgeingPolicy | undefined
  /** For so long it is waited for what another caller makes. */
  readonly producerTimeoutMs: number
}

/** What something is begun with, so that it can be kept. */
export interface Start {
  /** Of its own tags. */
  readonly versions: TagVersions
  /** `undefined`: it is not going to be kept, since its time is over at once. */
  readonly claim: Claim
}
