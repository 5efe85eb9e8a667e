import type { IncomingMessage } from 'node:http'
import { headerText } from '../../src/http/header-values.js'
import { fieldsOf, type StoredResponse } from '../../src/http/stored-response.js'
import { setHeaders } from './protocol.js'

const CONDITIONS: readonly string[] = [
  'if-match',
  'if-none-match',
  'if-modified-since',
  'if-unmodified-since',
  'if-range',
]

/**
 * Makes a request ask whether a stored page is right still, in place of what the client asked: that
 * is answered from what comes of it.
 *
 * @param page - Left out: it asks for the whole.
 * @remarks The client's own `req.headers` object is left as it is; the request gets another.
 * @see RFC 9111 §4.3.1
 */
export function replaceConditions(req: IncomingMessage, page: StoredResponse | undefined): void {
  const headers = { ...req.headers }
  const rawHeaders: string[] = []
  for (const name of CONDITIONS) Reflect.deleteProperty(headers, name)
  for (let i = 0; i + 1 < req.rawHeaders.length; i += 2) {
    const [name = '', value = ''] = req.rawHeaders.slice(i, i + 2)
    if (!CONDITIONS.includes(name.toLowerCase())) rawHeaders.push(name, value)
  }
  const fields = page === undefined ? {} : fieldsOf(page)
  const add = (name: string, value: string | undefined) => {
    if (value === undefined) return
    headers[name.toLowerCase()] = value
    rawHeaders.push(name, value)
  }
  add('If-None-Match', headerText(fields, 'etag'))
  add('If-Modified-Since', headerText(fields, 'last-modified'))
  setHeaders(req, { headers, rawHeaders })
}

/**
 * Gives a request the conditions of its client back; what else was changed meanwhile stays.
 *
 * @param asked - As it was before {@link replaceConditions}.
 */
export function restoreConditions(
  req: IncomingMessage,
  asked: Pick<IncomingMessage, 'headers' | 'rawHeaders'>,
): void {
  const { headers } = req
  for (const name of CONDITIONS) {
    const value = asked.headers[name]
    if (value === undefined) Reflect.deleteProperty(headers, name)
    else headers[name] = value
  }
  setHeaders(req, { rawHeaders: asked.rawHeaders })
}
