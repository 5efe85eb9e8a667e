/** What a read gave of one thing. */
export interface Part {
  readonly thing: string
  readonly number: number
  /** The thing's number when the read had ended. */
  readonly known: number
  /** By which of them it can be invalidated, such as `tag:x`. */
  readonly handles: readonly string[]
}

interface Timed {
  readonly begin: number
  readonly end: number
  readonly worker?: number | string
}

export interface Read extends Timed {
  readonly kind: 'read'
  /** What was asked for. */
  readonly entry: string
  /** What was given. */
  readonly gave: string
  readonly parts: readonly Part[]
  /**
   * When the oldest read of this entry began that was still on its way in the same process: this one
   * may have joined it.
   */
  readonly since?: number
  /** Soft invalidations do not concern it. */
  readonly mayBeStale?: boolean
}

/** From its end on, the thing is at least so much for whatever the handle reaches. */
export interface Promised extends Timed {
  readonly kind: 'promise'
  readonly thing: string
  readonly number: number
  readonly handle: string
  readonly soft?: boolean
}

/** What is wrong and no read shows. */
export interface Broken extends Timed {
  readonly kind: 'broken'
  readonly entry?: string
  readonly text: string
}

/** A read or an invalidation that rejected: it promises nothing. */
export interface Failed extends Timed {
  readonly kind: 'failed'
  readonly text: string
}

/** What was done to a server or to a process. */
export interface Fault extends Timed {
  readonly kind: 'fault'
  readonly name: string
  /** Why it could not be done. */
  readonly text?: string
}

export type Event = Read | Promised | Broken | Failed | Fault

/** For how many milliseconds something may be old that is documented to be. Default: 0. */
export interface Bounds {
  /** After any promise. */
  readonly after?: number
  /** After one by a kind of handle, such as `key`. */
  readonly handles?: Readonly<Record<string, number>>
  /**
   * How long a read takes at most that is given the answer to a look-up which another one had sent
   * before the promise.
   */
  readonly joiner?: number
}

export interface Violation {
  readonly kind: 'stale' | 'future' | 'mixed up' | 'broken'
  readonly text: string
  readonly staleMs: number
  readonly event: Read | Broken
  readonly promise?: Promised
}

export interface Verdict {
  readonly reads: number
  readonly promises: number
  readonly faults: number
  readonly failures: number
  readonly worstMs: number
  readonly violations: readonly Violation[]
}

/** @param events - In any order; all times are milliseconds of one clock. */
export function judge(events: readonly Event[], bounds?: Bounds): Verdict

/**
 * What happened around a violation: to the thing, to reads of the entry, and to the whole store.
 *
 * @returns In the order of their ends; of many, the last ones.
 */
export function historyAround(violation: Violation, events: readonly Event[]): readonly Event[]
