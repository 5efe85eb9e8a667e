/** The bytes of a value; as text if they are ASCII, which spares a copy. */
export type Payload = Uint8Array | string

/** An entry as the server has it. */
export interface Item {
  /** Empty unless asked for. */
  readonly value: Buffer
  readonly flags: number
  /** What changes with every change of the entry; decimal. Only if asked for. */
  readonly cas: string | undefined
  /** Seconds; -1: no end. Only if asked for, of a server that can say. */
  readonly secondsLeft: number | undefined
}

/** An entry with the value that was expected, which then is not read again. */
export const AS_EXPECTED: Item = {
  value: Buffer.alloc(0),
  flags: 0,
  cas: undefined,
  secondsLeft: undefined,
}

/** How a write depends on what is there. */
export type StoreMode = 'set' | 'add' | 'cas'

/** What became of a write; `refused`: by its condition; `missing`: nothing there to compare with. */
export type StoreReply = 'stored' | 'refused' | 'missing' | 'too_large'

type Done<Reply> = (error: Error | undefined, reply: Reply) => void

/** What to read of an entry, besides its flags. */
export interface Wish {
  readonly withValue: boolean
  readonly withCas: boolean
  readonly withSecondsLeft: boolean
}

export const VALUE: Wish = { withValue: true, withCas: false, withSecondsLeft: false }
export const FLAGS: Wish = { withValue: false, withCas: false, withSecondsLeft: false }
export const TOKEN: Wish = { withValue: false, withCas: true, withSecondsLeft: false }
export const VALUE_AND_TOKEN: Wish = { withValue: true, withCas: true, withSecondsLeft: false }
export const SECONDS_LEFT: Wish = { withValue: false, withCas: false, withSecondsLeft: true }

export interface GetRequest {
  readonly type: 'get'
  readonly key: string
  readonly wish: Wish
  /** The value it usually has. If it does, the reply may be {@link AS_EXPECTED}. */
  readonly expected?: Buffer | undefined
  /** It is asked for by a command of its own, whose number the answer repeats where answers do. */
  readonly isAlone?: boolean
  readonly done: Done<Item | undefined>
}

export interface StoreCommand {
  readonly type: 'store'
  readonly mode: StoreMode
  readonly key: string
  /** Bytes, or a text of ASCII. */
  readonly value: Payload
  readonly flags: number
  readonly exptime: number
  /** Of the entry to replace, in mode `cas`. */
  readonly cas: string
  readonly done: Done<StoreReply | undefined>
}

export interface RemoveRequest {
  readonly type: 'remove'
  readonly key: string
  readonly done: Done<boolean | undefined>
}

/** Gives an entry another deadline, and leaves all else as it is. */
export interface TouchRequest {
  readonly type: 'touch'
  readonly key: string
  readonly exptime: number
  /** Gets whether it was there. */
  readonly done: Done<boolean | undefined>
}

/** Adds modulo 2^64. */
export interface CountRequest {
  readonly type: 'count'
  readonly key: string
  readonly delta: bigint
  /**
   * Gets the sum, and the token of what now is there if the server tells it; `undefined` if nothing
   * is there; `null` if it is no number.
   */
  readonly done: (error: Error | undefined, sum: bigint | null | undefined, cas?: string) => void
}

/** A command with a line for an answer. */
export interface LineRequest {
  readonly type: 'version' | 'flush'
  readonly done: Done<string | undefined>
}

/** What the server tells of itself, by name. */
export interface StatsRequest {
  readonly type: 'stats'
  /** Empty for what it counts; `settings` for how it was set up. */
  readonly subject: '' | 'settings'
  readonly done: Done<ReadonlyMap<string, string> | undefined>
}

export interface AuthRequest {
  readonly type: 'auth'
  readonly username: string
  readonly password: string
  readonly done: Done<string | undefined>
}

/**
 * A command and what to do with its answer. Keys are as {@link wireKey} makes them: one character
 * per byte.
 */
export type Request =
  | GetRequest
  | StoreCommand
  | RemoveRequest
  | TouchRequest
  | CountRequest
  | LineRequest
  | StatsRequest
  | AuthRequest

/** Ends a request that gets no answer. */
export function failRequest(request: Request, error: Error): void {
  request.done(error, undefined)
}
