import type { MaybePromise } from './maybe-promise.js'
import type { KeyFault } from './keys.js'
import type { Unpacked } from './serializer.js'
import type { ServerFigures } from './server-stats.js'
import type { ResolvedSettings } from './settings.js'
import type { TagVersions } from './tags.js'
import type { Deadline } from './timeout.js'

/** One entry to write. */
export interface WriteEntry<Payload = Uint8Array> {
  readonly key: string
  readonly payload: Payload
  readonly expiresAtMs: Deadline
  /** Write only if no live entry is there. */
  readonly ifAbsent?: boolean
  /**
   * Write only if the live entry is exactly this payload, or, together with `ifAbsent`, also if
   * there is none (compare and set).
   */
  readonly replacing?: Payload
}

/**
 * What became of a {@link WriteEntry}: written; refused by its condition; too large for the
 * backend; or lost with a part of the store (the whole store failing rejects instead).
 */
export type WriteOutcome = 'stored' | 'refused' | 'too_large' | 'failed'

/** What a cache that stands on another cache needs of it: primitives and settings. */
export interface Primitives<Payload> {
  readonly settings: ResolvedSettings
  readEntries(keys: readonly string[]): MaybePromise<readonly (Payload | undefined)[]>
  writeEntries(entries: readonly WriteEntry<Payload>[]): MaybePromise<readonly WriteOutcome[]>
  removeEntries(keys: readonly string[]): MaybePromise<readonly boolean[]>
  touchEntry(key: string, expiresAtMs: Deadline): MaybePromise<boolean>
  incrementEntry(key: string, delta: number): MaybePromise<number | null | undefined>
  readDeadline(key: string): MaybePromise<Deadline | undefined>
  readDeadlines(keys: readonly string[]): MaybePromise<readonly (Deadline | undefined)[]>
  removeAll(): MaybePromise<void>
  readServerStats(): MaybePromise<ServerFigures | undefined>
  sizeOfPayload(payload: Payload): number | undefined
  onKeyFaults(storedKey: string, faults: readonly KeyFault[]): void
  packValue(value: unknown, tags: TagVersions | undefined): Payload
  unpackPayload(payload: Payload): Unpacked
}

/** What a cache does for itself and others must not call, for what stands on it. */
export function primitivesOf<Payload>(backend: object): Primitives<Payload> {
  return backend as Primitives<Payload>
}
