import type { IncomingMessage, ServerResponse } from 'node:http'
import type { AnswerHeaders } from './answer-headers.js'
import type { Filling } from './filling.js'
import type { Place } from './place.js'
import type { Telling } from './telling.js'
import type { Terms } from './terms.js'
import type { VisitorWatch } from './visitor-watch.js'

/** The request that a page is rendered for, and its response. */
export interface Around {
  readonly place: Place
  readonly req: IncomingMessage
  readonly res: ServerResponse
  /** No part of the application runs before the cache. */
  readonly isOutermost: boolean
  readonly terms: Terms
  readonly telling: Telling
  readonly headers: AnswerHeaders
  readonly filling: Filling
  /** The site knew the visitor when the cache was asked. */
  readonly isPerUser: boolean
  /** That of an outer cache, inside of which this one runs. */
  readonly outerWatch: VisitorWatch | undefined
  /** Copies the body from now on. */
  readonly record: () => void
  readonly stopRecording: () => void
  readonly hasTrailers: () => boolean
}
