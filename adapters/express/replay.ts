import type { Request, Response } from 'express'
import { isConditional, isNotModified, isSentWithNotModified } from '../../src/http/conditional.js'
import type { HeaderFields, HeaderValue } from '../../src/http/header-values.js'
import { currentAgeSeconds, type StoredResponse } from '../../src/http/stored-response.js'

/**
 * Answers a GET or HEAD with a stored response, or with a 304 if the client has the same.
 *
 * @param onHeaders - Called when the headers are set and not yet sent.
 */
export function replay(
  req: Request,
  res: Response,
  page: StoredResponse,
  nowMs: number,
  onHeaders: () => void,
): void {
  const notModified = isConditional(req.headers) && isNotModified(req.headers, fields(page), nowMs)
  for (const name of page.removed) res.removeHeader(name)
  for (const [name, value] of page.headers) {
    if (notModified && !isSentWithNotModified(name.toLowerCase())) continue
    res.setHeader(name, value)
  }
  res.setHeader('Age', String(currentAgeSeconds(page, nowMs)))
  onHeaders()
  if (notModified) {
    // What the layers around the cache said of a body.
    for (const name of ['Content-Type', 'Content-Length', 'Content-Encoding'])
      res.removeHeader(name)
    res.statusCode = 304
    res.end()
    return
  }
  res.statusCode = page.status
  if (page.statusMessage !== undefined) res.statusMessage = page.statusMessage
  // In its old place if it had one.
  res.setHeader('Content-Length', page.body.length)
  if (req.method === 'HEAD') res.end()
  else res.end(page.body, 'latin1')
}

function fields(page: StoredResponse): HeaderFields {
  const headers: Record<string, HeaderValue> = {}
  for (const [name, value] of page.headers) headers[name.toLowerCase()] = value
  return headers
}

/** Seconds a stored response is still fresh; `undefined`: without end. */
export function remainingSeconds(page: StoredResponse, nowMs: number): number | undefined {
  if (page.freshUntilMs === null) return undefined
  return Math.max(0, Math.floor((page.freshUntilMs - nowMs) / 1000))
}
