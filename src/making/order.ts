import type { Claim } from '../backend/entries.js'
import type { CacheCore } from '../backend/core.js'
import type { AgeingPolicy, ProducerTimeout } from '../staleness.js'
import type { Subject } from '../observe/remembered.js'
import type { TagVersions } from '../tags.js'

/** Something that is to be found under a key, or made. */
export interface Order {
  readonly cache: CacheCore
  readonly key: string
  readonly storedKey: string
  /** Stored tags. */
  readonly tags: readonly string[]
  /** Left out: it is made once per process, and never served stale. */
  readonly ageing: AgeingPolicy | undefined
  readonly producerTimeoutMs: ProducerTimeout
  /** What it is of, where that is to be remembered. */
  readonly subject?: Subject | undefined
}

/** What has to be read before something is made, so that it can be stored. */
export interface Start {
  /** Of its own tags. */
  readonly versions: TagVersions
  /** `undefined`: it is not going to be stored, since it expires at once. */
  readonly claim: Claim
}
