import type { IncomingMessage, ServerResponse } from 'node:http'
import { currentMs } from '../../src/current-time.js'
import { MisuseError, show } from '../../src/errors.js'
import { formatHttpDate, parseHttpDate } from '../../src/http/http-date.js'
import type { Middleware } from './middleware.js'
import { checkResponse } from './header-helpers.js'
import { anything, checkEachOption } from './option-checks.js'
import { applyPreconditions } from './precondition.js'
import { onHead } from './taken-headers.js'

/**
 * Returns the `ETag` of the requested resource, quoted or not, with a leading `W/` if it is weak;
 * `undefined`: none.
 */
export type EtagFunction<Req = IncomingMessage> = (
  req: Req,
) => Promise<string | null | undefined> | string | null | undefined

/**
 * Returns the time at which the requested resource was last modified: a date, milliseconds since the epoch,
 * or an HTTP or ISO 8601 date as text; `undefined`: unknown.
 */
export type LastModifiedFunction<Req = IncomingMessage> = (
  req: Req,
) => Promise<Date | number | string | null | undefined> | Date | number | string | null | undefined

/** Options of {@link condition}. At least one is required. */
export interface ConditionOptions<Req = IncomingMessage> {
  readonly etag?: EtagFunction<Req> | undefined
  readonly lastModified?: LastModifiedFunction<Req> | undefined
}

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
  checkConditionOptions(options)
  const { etag, lastModified } = options
  return function conditionMiddleware(req, res, next) {
    precede('condition', { etag, lastModified }, req, res, next)
  }
}

/**
 * {@link condition} with an `ETag` alone.
 *
 * @throws TypeError: `read` is not a function.
 * @see Django 6.1, `django.views.decorators.http.etag`
 */
export function etag(read: EtagFunction): Middleware {
  checkFunction('etag', 'the argument', read)
  return function etagMiddleware(req, res, next) {
    precede('etag', { etag: read }, req, res, next)
  }
}

/**
 * {@link condition} with `Last-Modified` alone.
 *
 * @throws TypeError: `read` is not a function.
 * @see Django 6.1, `django.views.decorators.http.last_modified`
 */
export function lastModified(read: LastModifiedFunction): Middleware {
  checkFunction('lastModified', 'the argument', read)
  return function lastModifiedMiddleware(req, res, next) {
    precede('lastModified', { lastModified: read }, req, res, next)
  }
}

interface Validators {
  readonly etag: string | undefined
  readonly 'last-modified': string | undefined
}

function precede(
  caller: string,
  options: ConditionOptions,
  req: IncomingMessage,
  res: ServerResponse,
  next: (error?: unknown) => void,
): void {
  checkResponse(caller, res)
  const { method = '', headers } = req
  readValidators(caller, options, req).then((validators) => {
    // Another layer has answered in the meantime, because of a time limit for example.
    if (res.headersSent) return
    if (method === 'GET' || method === 'HEAD') offer(res, validators)
    if (applyPreconditions({ method, headers }, res, { ...validators })) res.end()
    else next()
  }, next)
}

async function readValidators(
  caller: string,
  { etag, lastModified }: ConditionOptions,
  req: IncomingMessage,
): Promise<Validators> {
  const [tag, modified] = await Promise.all([etag?.(req), lastModified?.(req)])
  return {
    etag: toEntityTag(caller, tag),
    'last-modified': toLastModified(caller, modified, currentMs()),
  }
}

/**
 * Sets the validators before the handler runs, since `res.send` would otherwise add an `ETag` of its own, and
 * removes them from an error, which they do not describe.
 */
function offer(res: ServerResponse, validators: Validators): void {
  const offered = Object.entries({
    'Last-Modified': validators['last-modified'],
    ETag: validators.etag,
  })
  for (const [name, value] of offered) {
    if (value !== undefined && !res.hasHeader(name)) res.setHeader(name, value)
  }
  onHead(res, () => {
    if (res.statusCode < 400) return
    for (const [name, value] of offered) {
      if (res.getHeader(name) === value) res.removeHeader(name)
    }
  })
}

/** @see Django, `quote_etag` */
function toEntityTag(caller: string, tag: unknown): string | undefined {
  if (tag === undefined || tag === null) return undefined
  if (typeof tag === 'string') {
    const quoted = /^(?:W\/)?".*"$/.test(tag) ? tag : `"${tag}"`
    // RFC 9110 §8.8.3, and spaces, which all clients accept. Only ASCII, since Node sends other
    // characters as Latin-1 or as UTF-8, depending on the body.
    if (/^(?:W\/)?"[\x20\x21\x23-\x7e]*"$/.test(quoted)) return quoted
  }
  throw new MisuseError(
    `${caller}: the ETag function gave ${show(tag)}; give ASCII text without quotes inside it, such as a hash, or undefined`,
  )
}

const ISO_DATE = /^\d{4}-\d\d-\d\d(?:$|[T ])/

function toLastModified(caller: string, modified: unknown, nowMs: number): string | undefined {
  if (modified === undefined || modified === null) return undefined
  const ms = toMs(modified, nowMs)
  if (ms !== undefined && !Number.isNaN(new Date(ms).getTime())) {
    return formatHttpDate(Math.min(ms, nowMs))
  }
  throw new MisuseError(
    `${caller}: the Last-Modified function gave ${show(modified)}; give a valid Date, milliseconds since the epoch, the text of a date, or undefined`,
  )
}

function toMs(modified: unknown, nowMs: number): number | undefined {
  if (modified instanceof Date) return modified.getTime()
  if (typeof modified === 'number') return modified
  if (typeof modified !== 'string') return undefined
  return parseHttpDate(modified, nowMs) ?? (ISO_DATE.test(modified) ? Date.parse(modified) : NaN)
}

function checkConditionOptions(options: ConditionOptions): void {
  checkEachOption('condition', options, { etag: anything, lastModified: anything })
  const given = Object.entries(options).filter(([, value]) => value !== undefined)
  for (const [name, value] of given) checkFunction('condition', name, value)
  if (given.length > 0) return
  throw new MisuseError('condition: give at least one of the options etag and lastModified')
}

function checkFunction(caller: string, name: string, value: unknown): void {
  if (typeof value === 'function') return
  throw new MisuseError(
    `${caller}: ${name}: ${show(value)} is not a function; give one such as (req) => req.params.version`,
  )
}
