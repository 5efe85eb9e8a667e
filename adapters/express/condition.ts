import type { Request } from 'express'
import * as node from '../node/condition.js'
import type { Middleware } from '../node/middleware.js'

/** Gives the `ETag` of what is requested, quoted or not, with `W/` in front if it is weak; `undefined`: none. */
export type EtagFunction = node.EtagFunction<Request>

/**
 * Gives the time at which what is requested was last modified: a date, milliseconds since the epoch, or an
 * HTTP or ISO 8601 date as text; `undefined`: not known.
 */
export type LastModifiedFunction = node.LastModifiedFunction<Request>

/** Options of {@link condition}; at least one. */
export type ConditionOptions = node.ConditionOptions<Request>

/**
 * A middleware that evaluates a request's preconditions before the handler runs: where they fail, it
 * answers with 304 (GET and HEAD) or 412 and the handler does not run.
 *
 * @returns To GET and HEAD, `ETag` and `Last-Modified` are sent with the answer, unless the handler sets
 *   them or an error is answered. An error that a function throws goes to `next`.
 * @throws TypeError: an option is unknown or no function, or there is none.
 * @remarks Both functions are called for every request, without waiting for each other. Put this middleware
 *   after `cacheControl` and `varyOnHeaders`, so that a 304 has their headers too. A date in the future is
 *   sent as the current one (RFC 9110 §8.8.2.1).
 * @see Django 6.1, `django.views.decorators.http.condition`
 * @see RFC 9110 §13.2.2
 */
export function condition(options: ConditionOptions): Middleware {
  return node.condition(options as node.ConditionOptions)
}

/**
 * {@link condition} with an `ETag` alone.
 *
 * @throws TypeError: no function was given.
 * @see Django 6.1, `django.views.decorators.http.etag`
 */
export function etag(read: EtagFunction): Middleware {
  return node.etag(read as node.EtagFunction)
}

/**
 * {@link condition} with `Last-Modified` alone.
 *
 * @throws TypeError: no function was given.
 * @see Django 6.1, `django.views.decorators.http.last_modified`
 */
export function lastModified(read: LastModifiedFunction): Middleware {
  return node.lastModified(read as node.LastModifiedFunction)
}
