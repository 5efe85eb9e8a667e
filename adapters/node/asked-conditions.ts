import type { IncomingMessage, ServerResponse } from 'node:http'
import { currentMs } from '../../src/current-time.js'
import { isConditional } from '../../src/http/conditional.js'
import { headerText, type HeaderFields } from '../../src/http/header-values.js'
import { fieldsOf, type StoredResponse } from '../../src/http/stored-response.js'
import { asksForAny, hasAlready } from './client-conditions.js'
import { distinctOf, meantOf, rawHeadersOf, setHeaders, type HeaderForms } from './protocol.js'
import { unnoticed } from './unnoticed.js'

/** The conditions of a client's request (`If-None-Match` and the like), while its handler sees other ones. */
export class AskedConditions {
  #asked: HeaderForms | undefined

  constructor(private readonly req: IncomingMessage) {}

  /** The headers as the client sent them. */
  get headers(): HeaderFields {
    return this.#asked?.headers ?? this.req.headers
  }

  /**
   * Changes the conditions that the handler sees.
   *
   * @param page - The handler is asked whether this page is still current; left out: for the whole response.
   */
  replace(page?: StoredResponse): void {
    unnoticed(() => {
      const { headers, rawHeaders } = this.req
      this.#asked ??= { headers, rawHeaders, headersDistinct: distinctOf(this.req) }
      replaceConditions(this.req, page)
    })
  }

  /** Restores the client's conditions, for the layers around the cache, once the handler has read ours. */
  giveBack(): void {
    if (this.#asked !== undefined) restoreConditions(this.req, this.#asked)
  }

  /** Whether the client asked on a condition that the cache has to evaluate, since the handler never saw it. */
  isAskedForChange({ statusCode }: ServerResponse): boolean {
    if (this.#asked === undefined || statusCode < 200 || statusCode >= 300) return false
    return isConditional(this.#asked.headers) && !asksForAny(this.#asked.headers)
  }

  /** Whether the client already has this response, so that a 304 answers it. */
  isMetBy(res: ServerResponse): boolean {
    if (this.#asked === undefined || !this.isAskedForChange(res)) return false
    return hasAlready(this.#asked.headers, res.getHeaders(), res, currentMs())
  }
}

const CONDITIONS: readonly string[] = [
  'if-match',
  'if-none-match',
  'if-modified-since',
  'if-unmodified-since',
  'if-range',
]

/**
 * Replaces the conditions of a request, so that its handler is asked whether a stored page is still current.
 * What the client asked is answered afterwards, from what the handler says.
 *
 * @param page - Left out: it asks for the whole.
 * @remarks The client's own `req.headers` object is left as it is; the request gets another.
 * @see RFC 9111 §4.3.1
 */
function replaceConditions(req: IncomingMessage, page: StoredResponse | undefined): void {
  const headers = { ...req.headers }
  const isKept = (name: string) => !CONDITIONS.includes(name)
  const rawHeaders = rawHeadersOf(req.rawHeaders, isKept)
  const headersDistinct = meantOf(distinctOf(req), isKept)
  for (const name of CONDITIONS) Reflect.deleteProperty(headers, name)
  const fields = page === undefined ? {} : fieldsOf(page)
  const add = (name: string, value: string | undefined) => {
    if (value === undefined) return
    headers[name.toLowerCase()] = value
    rawHeaders.push(name, value)
    if (headersDistinct !== undefined) headersDistinct[name.toLowerCase()] = [value]
  }
  add('If-None-Match', headerText(fields, 'etag'))
  add('If-Modified-Since', headerText(fields, 'last-modified'))
  setHeaders(req, { headers, rawHeaders, headersDistinct })
}

/**
 * Gives a request the conditions of its client back; what else was changed meanwhile stays.
 *
 * @param asked - As it was before {@link replaceConditions}.
 */
function restoreConditions(req: IncomingMessage, asked: HeaderForms): void {
  const { headers } = req
  for (const name of CONDITIONS) {
    const value = asked.headers[name]
    if (value === undefined) Reflect.deleteProperty(headers, name)
    else headers[name] = value
  }
  const { rawHeaders, headersDistinct } = asked
  setHeaders(req, { rawHeaders, headersDistinct })
}
