import { unpackWith, type BinaryFormat } from '../../serializer.js'
import { splitLabels, type Stamp } from '../../stamp.js'
import { NO_VERSIONS, type TagVersions } from '../../tags.js'
import type { Hit } from '../../backend/entries.js'

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

/** Bytes of the key and the value, not of what surrounds them. */
export function sizeOf(key: string, payload: MemoryPayload): number {
  return Buffer.byteLength(key) + sizeOfPayload(payload)
}

/** Bytes of a value alone. */
export function sizeOfPayload(payload: MemoryPayload): number {
  return sizeOfValue(untaggedOf(payload))
}

/** The value of a payload. */
export function untaggedOf(payload: MemoryPayload): Untagged {
  return isTagged(payload) ? payload.value : payload
}

function sizeOfValue(value: Untagged): number {
  if (typeof value === 'string') return Buffer.byteLength(value)
  return isSerialized(value) ? value.bytes.byteLength : 8
}

/** Turns a checked value into what is kept. */
export function toPayload(
  value: unknown,
  labels: TagVersions | undefined,
  format: BinaryFormat,
): MemoryPayload {
  const kept = toUntagged(value, format)
  if (labels === undefined) return kept
  const { tags = NO_VERSIONS, stamp } = splitLabels(labels)
  return new Tagged(kept, tags, undefined, stamp)
}

/** The same of a value without tags. */
export function toUntagged(value: unknown, format: BinaryFormat): Untagged {
  return isImmutable(value) ? value : new Serialized(format.write(value))
}

/**
 * @param entry - Where it is kept.
 * @throws Error: an instance in it is of a type that is not known here, or its type cannot make it.
 */
export function hitOf(payload: MemoryPayload, format: BinaryFormat, entry?: object): Hit {
  const tagged = isTagged(payload)
  const kept = untaggedOf(payload)
  const tags = tagged ? (payload.origin ?? payload.tags) : undefined
  return {
    value: isSerialized(kept) ? unpackWith(format.read, kept.bytes).value : kept,
    tags: tags?.size === 0 ? undefined : tags,
    stamp: tagged ? payload.stamp : undefined,
    entry,
  }
}

function isImmutable(value: unknown): value is string | number | boolean | bigint | null {
  return typeof value !== 'object' || value === null
}
