import { channel } from 'node:diagnostics_channel'
import type { Reason } from './reasons.js'

/**
 * What became of a request: answered from the cache; answered by the handler and stored; or the handler's
 * alone. `stale` and `joined` are for answers past their time and those taken from another
 * request's handler.
 */
export type ResponseOutcome = 'hit' | 'miss' | 'stale' | 'joined' | 'bypass'

/** A message on the channel `fragcache:response`: one request that came by. */
export interface ResponseMessage {
  readonly method: string
  /** Absolute, as sent; where that cannot be told safely, the request target. */
  readonly url: string
  /** The page's key, before the cache adds its own prefix and version. */
  readonly key: string
  readonly alias: string
  readonly outcome: ResponseOutcome
  /** Why the answer was not stored, or not looked for. */
  readonly reason?: Reason
}

export const responseChannel = channel('fragcache:response')
