/** The start of an entry's payload that tells it from whatever else may come to lie under its key. */
export interface KnownStart {
  readonly start: Buffer
  /** Bytes of the whole payload. */
  readonly length: number
}

/**
 * In place of a payload that is the known one, and was not read as a whole. By name: one process may load two copies of
 * this package, the pages of one over a store of the other.
 */
export const UNCHANGED: unique symbol = Symbol.for('fragcache.unchanged.1')

/** Whether what was read is what is known. */
export function isUnchanged(payload: unknown, known: KnownStart): boolean {
  if (payload === UNCHANGED) return true
  const { start, length } = known
  if (!(payload instanceof Uint8Array) || payload.length !== length) return false
  return start.compare(payload, 0, start.length) === 0
}
