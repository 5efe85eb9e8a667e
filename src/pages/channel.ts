import { channel } from 'node:diagnostics_channel'
import type { MissCause } from '../observe/miss-cause.js'
import type { Reason } from './reasons.js'

/**
 * What became of a request. `hit`: answered from the cache. `miss`: answered by the handler, and stored. `bypass`:
 * answered by the handler, and not stored. `stale`: answered with an expired page. `joined`: answered with the
 * page that the handler rendered for another request meanwhile.
 */
export type ResponseOutcome = 'hit' | 'miss' | 'stale' | 'joined' | 'bypass'

/** A message on the channel `fragcache:response`: what became of one request. */
export interface ResponseMessage {
  readonly method: string
  /** Absolute, as sent; if that cannot be told safely, the request target. */
  readonly url: string
  /** The page's key, before the cache adds its own prefix and version. */
  readonly key: string
  readonly alias: string
  readonly outcome: ResponseOutcome
  /** Why the response was not stored, why the cache was not asked, or why the page is an expired one. */
  readonly reason?: Reason
  /** Why there was no page for it, of a `miss`. Left out: it cannot be told. */
  readonly cause?: MissCause
}

export const responseChannel = channel('fragcache:response')
