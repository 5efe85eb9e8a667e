import type { IncomingMessage, ServerResponse } from 'node:http'
import type { Forward, Handling } from '../../src/http/cache-status.js'
import {
  responseChannel,
  type ResponseMessage,
  type ResponseOutcome,
} from '../../src/pages/channel.js'
import { STORE_FAILED, type MissCause, type MissCode } from '../../src/observe/miss-cause.js'
import type { PageLookup, PageRequest } from '../../src/pages/page.js'
import type { Reason } from '../../src/pages/reasons.js'
import { isUnwatched } from '../../src/unwatched.js'
import { appendCacheStatus } from './cache-headers.js'
import type { Place } from './place.js'
import { targetOf, uriOf } from './request.js'

/** A request that was looked up, and what was found. */
export interface LookedUp {
  readonly request: PageRequest
  readonly lookup: PageLookup
}

/** Reports what becomes of one request: in `Cache-Status`, on the channel, and in the counts of its route. */
export class Telling {
  #subject: LookedUp | undefined
  /** When the handler began, and how long it took; 0: it was not called. */
  #askedMs = 0
  #handlerMs = 0
  #cause: MissCause | undefined

  constructor(
    private readonly place: Place,
    private readonly req: IncomingMessage,
    private readonly res: ServerResponse,
  ) {}

  /** Notes what the reports are about. */
  about(subject: LookedUp): void {
    this.#subject = subject
  }

  handlerBegins(): void {
    this.#askedMs = performance.now()
    // Before the new page takes the place of the one that is missing.
    if (this.place.settings.cacheStatus || this.#isHeard) this.#findCause()
  }

  /** Whether anybody hears about causes, apart from who reads `Cache-Status`. */
  get #isHeard(): boolean {
    return responseChannel.hasSubscribers || this.place.routes.countsCauses
  }

  #findCause(): void {
    if (this.#subject === undefined) return
    const { request, lookup } = this.#subject
    this.#cause ??= this.place.store.causeOf(request, lookup, this.place.remembered())
  }

  /** Only the first time counts. */
  handlerEnds(): void {
    if (this.#askedMs === 0 || this.#handlerMs !== 0) return
    this.#handlerMs = performance.now() - this.#askedMs
  }

  say(handling: Handling): void {
    if (this.place.settings.cacheStatus)
      appendCacheStatus(this.res, withCause(handling, this.#cause))
  }

  /** @param bytes - Of the body that was stored. */
  report(outcome: ResponseOutcome, reason?: Reason, bytes = 0): void {
    if (isUnwatched(this.res)) return
    const { req } = this
    const { store, routes } = this.place
    const request = this.#subject?.request ?? this.#unread()
    const key = () => store.keyOf(request, this.#subject?.lookup.headerList ?? [])
    const tally = routes.of(req, request.uri, store.alias)
    tally.count(outcome, reason)
    if (outcome === 'stale' && this.#isHeard) this.#findCause()
    const cause = reason === undefined || outcome === 'stale' ? this.#cause : this.#causeOf(reason)
    tally.missed(cause)
    this.handlerEnds()
    tally.ran(this.#handlerMs)
    if (outcome === 'miss') tally.stored(key(), bytes)
    if (!responseChannel.hasSubscribers) return
    const message: ResponseMessage = {
      method: req.method ?? '',
      url: request.uri,
      key: key(),
      alias: store.alias,
      outcome,
      ...(reason !== undefined && { reason }),
      ...(cause !== undefined && { cause }),
    }
    responseChannel.publish(message)
  }

  /** Other reasons say by themselves why the page was not served. */
  #causeOf(reason: Reason): MissCause | undefined {
    return reason === 'cache-failed' ? (this.#cause ?? STORE_FAILED) : undefined
  }

  /** A request that was not looked up. */
  #unread(): PageRequest {
    const { req } = this
    return {
      method: req.method ?? '',
      uri: uriOf(req, this.place.settings.host) ?? targetOf(req),
      language: undefined,
      timeZone: undefined,
      headers: req.headers,
    }
  }
}

/** Says why a page that was rendered was not there, unless `fwd` or the reason why it is not stored says as much. */
function withCause(given: Handling, cause: MissCause | undefined): Handling {
  if (given.hit || cause === undefined) return given
  const isOfVariant = cause.code === 'other-variant' && given.forward === 'uri-miss'
  const handling = isOfVariant ? ({ ...given, forward: 'vary-miss' } as const) : given
  if (handling.collapsed === true || handling.detail !== undefined) return handling
  // Names of tags and places in the code are not for strangers.
  if (process.env['NODE_ENV'] === 'development') {
    return { ...handling, detail: `${cause.code}: ${cause.text}` }
  }
  if (SAID.get(cause.code)?.includes(handling.forward) === true) return handling
  return { ...handling, detail: cause.code }
}

/** What `fwd` says already. */
const SAID: ReadonlyMap<MissCode, readonly Forward[]> = new Map([
  ['not-stored', ['uri-miss', 'vary-miss']],
  ['other-variant', ['vary-miss']],
  ['expired', ['stale']],
])
