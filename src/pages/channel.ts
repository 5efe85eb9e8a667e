import { channel } from 'node:diagnostics_channel'
import type { MissCause } from '../observe/miss-cause.js'
import type { Reason } from './reasons.js'

/**
 * The outcome of a request. `hit`: answered from the cache. `miss`: answered by the handler, and stored.
 * `bypass`: answered by the handler, and not stored. `stale`: answered with an expired page. `joined`:
 * answered with the page that the handler rendered meanwhile for another request.
 */
export type ResponseOutcome = 'hit' | 'miss' | 'stale' | 'joined' | 'bypass'

/** A message on the channel `fragcache:response`: the outcome of one request. */
export interface ResponseMessage {
  readonly method: string
  /** The absolute URL, as sent; the request target if the URL cannot be determined safely. */
  readonly url: string
  /** The page's key, before the cache adds its own prefix and version. */
  readonly key: string
  readonly alias: string
  readonly outcome: ResponseOutcome
  /**
   * Why the response was not stored, why the cache was not used, or why the page is an expired one.
   */
  readonly reason?: Reason
  /** For a `miss`, and for a `stale` one: why there was no fresh page. Absent if unknown. */
  readonly cause?: MissCause
}

export const responseChannel = channel('fragcache:response')
