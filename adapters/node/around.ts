import type { IncomingMessage, ServerResponse } from 'node:http'
import type { AnswerHeaders } from './answer-headers.js'
import type { Filling } from './filling.js'
import type { Place } from './place.js'
import type { Telling } from './telling.js'
import type { Terms } from './terms.js'
import type { VisitorWatch } from './visitor-watch.js'

/** The visit that a page is made for. */
export interface Around {
  readonly place: Place
  readonly req: IncomingMessage
  readonly res: ServerResponse
  /** Nothing of the application comes before. */
  readonly isOutermost: boolean
  readonly terms: Terms
  readonly telling: Telling
  readonly headers: AnswerHeaders
  readonly filling: Filling
  /** The site knew the visitor when the cache was asked. */
  readonly isVisitors: boolean
  /** Of a cache further out, behind which this one stands. */
  readonly outerWatch: VisitorWatch | undefined
  /** Copies the body from here on. */
  readonly record: () => void
  readonly stopRecording: () => void
}
