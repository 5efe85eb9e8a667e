import type { Request } from 'express'
import * as node from '../node/condition.js'
import type { Middleware } from '../node/middleware.js'

/**
 * Returns the `ETag` of the requested resource, quoted or not, with a leading `W/` if it is weak;
 * `undefined`: none.
 */
export type EtagFunction = node.EtagFunction<Request>

/**
 * Returns the time at which the requested resource was last modified: a date, milliseconds since the epoch,
 * or an HTTP or ISO 8601 date as text; `undefined`: unknown.
 */
export type LastModifiedFunction = node.LastModifiedFunction<Request>

/** Options of {@link condition}. At least one is required. */
export type ConditionOptions = node.ConditionOptions<Request>

/**
 * Creates a middleware that evaluates a request's preconditions before the handler runs. If they fail, it
 * answers with 304 (GET and HEAD) or 412, and the handler does not run.
 *
 * @returns A middleware. For GET and HEAD it adds `ETag` and `Last-Modified` to the response, unless the
 *   handler sets them or the response is an error. An error that one of the functions throws goes to `next`.
 * @throws TypeError: an option is unknown or not a function, or there is none.
 * @remarks Both functions are called for every request, concurrently. Put this middleware after
 *   `cacheControl` and `varyOnHeaders`, so that a 304 has their headers too. A date in the future is sent as
 *   the current one (RFC 9110 §8.8.2.1).
 * @see Django 6.1, `django.views.decorators.http.condition`
 * @see RFC 9110 §13.2.2
 */
export function condition(options: ConditionOptions): Middleware {
  return node.condition(options as node.ConditionOptions)
}

/**
 * {@link condition} with an `ETag` alone.
 *
 * @throws TypeError: `read` is not a function.
 * @see Django 6.1, `django.views.decorators.http.etag`
 */
export function etag(read: EtagFunction): Middleware {
  return node.etag(read as node.EtagFunction)
}

/**
 * {@link condition} with `Last-Modified` alone.
 *
 * @throws TypeError: `read` is not a function.
 * @see Django 6.1, `django.views.decorators.http.last_modified`
 */
export function lastModified(read: LastModifiedFunction): Middleware {
  return node.lastModified(read as node.LastModifiedFunction)
}
