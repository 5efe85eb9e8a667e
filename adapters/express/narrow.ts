import { isDeepStrictEqual } from 'node:util'
import type { Application, Request } from 'express'
import { narrowTarget } from '../../src/http/query.js'
import { parentOf } from './parent.js'

type Query = Record<string, unknown>

type Parse = (text: string | null) => Query

/** Properties that `parseurl` and Express 4's query middleware add to a request. */
type Narrowable = Omit<Request, 'query'> & {
  _parsedUrl?: unknown
  _parsedOriginalUrl?: unknown
  query: Query
}

/**
 * Takes the query parameters that a key ignores out of a request, so that the handler cannot see them:
 * `req.url`, `req.originalUrl`, `req.query`, what was parsed of them, and what routers below make
 * of them.
 *
 * @param keeps - Whether a parameter is kept, by its name as sent.
 * @returns The original URL, if it changed.
 * @remarks What a middleware made of `req.query` before (a checked or a cleaned one) stays as it is
 *   for the parameters that are kept. If the request cannot be narrowed (its `query` is sealed, or
 *   the application's parser throws), it stays whole: then the key must be made of the whole too.
 *   A middleware that put a copy elsewhere is out of reach; the cache belongs before it.
 */
export function narrowRequest(req: Request, keeps: (name: string) => boolean): string | undefined {
  const { url, originalUrl } = req
  const narrowUrl = narrowTarget(url, keeps)
  const narrowOriginalUrl = narrowTarget(originalUrl, keeps)
  if (narrowUrl === url && narrowOriginalUrl === originalUrl) return undefined
  const narrowable = req as Narrowable
  try {
    // Express 4 parsed it once; Express 5 parses what `req.url` is at the time.
    if (Object.hasOwn(req, 'query') && !narrowQuery(narrowable, url, narrowUrl)) return undefined
  } catch {
    return undefined
  }
  req.url = narrowUrl
  req.originalUrl = narrowOriginalUrl
  delete narrowable._parsedUrl
  delete narrowable._parsedOriginalUrl
  return originalUrl
}

/** @returns `false` if the query cannot be changed. */
function narrowQuery(req: Narrowable, url: string, narrowUrl: string): boolean {
  const current: unknown = req.query
  const parsers = parsersOf(req.app)
  for (const parse of parsers) {
    // An application mounted in another does not parse again: which one did it, the result tells.
    if (isDeepStrictEqual(parse(queryOf(url)), current)) {
      return replaceQuery(req, parse(queryOf(narrowUrl)))
    }
  }
  const [parse] = parsers
  if (parse === undefined || typeof current !== 'object' || current === null) {
    return replaceQuery(req, {})
  }
  const changed = current as Query
  const before = parse(queryOf(url))
  const after = parse(queryOf(narrowUrl))
  const query = Object.create(Object.getPrototypeOf(changed) as object | null) as Query
  for (const [name, value] of Object.entries(changed)) {
    const isKept = Object.hasOwn(after, name)
    if (isKept && !isDeepStrictEqual(before[name], after[name])) define(query, name, after[name])
    else if (isKept || !Object.hasOwn(before, name)) define(query, name, value)
  }
  return replaceQuery(req, query)
}

/** Those of the application and of the ones it is mounted in, from the outside in. */
function parsersOf(app: Application): readonly Parse[] {
  const parsers: Parse[] = []
  for (let each: Application | undefined = app; each !== undefined; each = parentOf(each)) {
    const parse = each.get('query parser fn') as Parse | undefined
    if (parse !== undefined) parsers.unshift(parse)
  }
  return parsers
}

/** As `parseurl` cuts it out. */
function queryOf(url: string): string | null {
  const [beforeHash = ''] = url.split('#', 1)
  const start = beforeHash.indexOf('?')
  return start === -1 ? null : beforeHash.slice(start + 1)
}

function replaceQuery(req: Narrowable, value: Query): boolean {
  const known = Object.getOwnPropertyDescriptor(req, 'query')
  if (known?.configurable === true) {
    const enumerable = known.enumerable === true
    Object.defineProperty(req, 'query', { value, writable: true, configurable: true, enumerable })
    return true
  }
  return Reflect.set(req, 'query', value) && req.query === value
}

/** Also of names like `__proto__`. */
function define(query: Query, name: string, value: unknown): void {
  Object.defineProperty(query, name, {
    value,
    writable: true,
    configurable: true,
    enumerable: true,
  })
}
