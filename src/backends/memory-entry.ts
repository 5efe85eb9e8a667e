import type { Stamp } from '../stamp.js'
import type { TagVersions } from '../tags.js'
import type { Deadline } from '../timeout.js'
import type { OwnedEntries } from './owned-entries.js'

/** A value that could be changed from outside, kept as bytes so that nobody can. */
export class Serialized {
  constructor(readonly bytes: Uint8Array) {}
}

/** A value with the tag versions it depends on. */
export class Tagged {
  /** The store's invalidation count when the tags were last checked. */
  checkedAt = -1
  /** When one of the tags was softly invalidated: milliseconds since the epoch. */
  softMs = Infinity

  constructor(
    readonly value: Untagged,
    readonly tags: TagVersions,
    /** The versions in the store this is a copy from, if it is one. */
    readonly origin?: TagVersions,
    readonly stamp?: Stamp,
  ) {}
}

export type Untagged = string | number | boolean | bigint | null | Serialized

/** What local memory keeps for a value: immutable values by reference, anything else as bytes. */
export type MemoryPayload = Untagged | Tagged

// By shape: one process may load two copies of this package, whose classes differ, over one store.

export function isTagged(payload: MemoryPayload): payload is Tagged {
  return typeof payload === 'object' && payload !== null && 'tags' in payload
}

export function isSerialized(payload: MemoryPayload): payload is Serialized {
  return typeof payload === 'object' && payload !== null && 'bytes' in payload
}

/** What can tell an entry of local memory apart, and what is kept in it. */
export class MemoryEntry {
  /** Where it stands in the order of use, among the entries of its owner. */
  older: MemoryEntry | undefined = undefined
  newer: MemoryEntry | undefined = undefined
  /** Its place among the deadlines; -1: it has none. */
  deadlineAt = -1
  /** Orders it among the entries of other owners; see `OwnedEntries`. */
  turn = 0

  constructor(
    readonly home: OwnedEntries,
    readonly key: string,
    public payload: MemoryPayload,
    public expiresAtMs: Deadline,
  ) {}
}

/** Bytes of the key and the value, not of what surrounds them. */
export function sizeOf(key: string, payload: MemoryPayload): number {
  return Buffer.byteLength(key) + sizeOfPayload(payload)
}

/** Bytes of a value alone. */
export function sizeOfPayload(payload: MemoryPayload): number {
  return sizeOfValue(isTagged(payload) ? payload.value : payload)
}

function sizeOfValue(value: Untagged): number {
  if (typeof value === 'string') return Buffer.byteLength(value)
  return isSerialized(value) ? value.bytes.byteLength : 8
}
