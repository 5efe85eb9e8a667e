import type { ServerResponse } from 'node:http'
import { currentMs } from '../../src/current-time.js'
import { evaluatePreconditions, isSentWithNotModified } from '../../src/http/conditional.js'
import type { HeaderFields } from '../../src/http/header-values.js'
import { setStatusMessage } from './protocol.js'

/**
 * Evaluates a request's preconditions. Where they fail, sets status and headers of the response, which are not
 * sent yet, to those of a 304 or 412.
 *
 * @param request - Its method and headers, as the client sent them.
 * @param headers - Where `etag` and `last-modified` of the representation are.
 * @returns Whether the response is now a 304 or 412, which has no body.
 */
export function applyPreconditions(
  request: { readonly method: string; readonly headers: HeaderFields },
  res: ServerResponse,
  headers: HeaderFields,
): boolean {
  switch (evaluatePreconditions(request, { headers }, currentMs())) {
    case 'perform':
      return false
    case 'not-modified':
      becomeNotModified(res)
      return true
    case 'precondition-failed':
      becomePreconditionFailed(res)
      return true
  }
}

/**
 * Turns a response whose headers are not sent yet into a 304: the client already has it.
 *
 * @see RFC 9110 §15.4.5
 */
export function becomeNotModified(res: ServerResponse): void {
  setStatus(res, 304)
  for (const name of res.getHeaderNames()) {
    if (!isSentWithNotModified(name) || isOfTransfer(name)) res.removeHeader(name)
  }
}

const OF_THE_REPRESENTATION = new Set(['etag', 'last-modified', 'accept-ranges', 'age', 'expires'])

/** @see RFC 9110 §15.5.13 */
function becomePreconditionFailed(res: ServerResponse): void {
  setStatus(res, 412)
  for (const name of res.getHeaderNames()) {
    const isOfBody = name.startsWith('content-') && !name.startsWith('content-security-policy')
    if (isOfBody || isOfTransfer(name) || OF_THE_REPRESENTATION.has(name)) res.removeHeader(name)
  }
  res.setHeader('Cache-Control', 'no-store')
  res.setHeader('Content-Length', '0')
}

function isOfTransfer(name: string): boolean {
  return name === 'transfer-encoding' || name === 'trailer'
}

function setStatus(res: ServerResponse, status: number): void {
  res.statusCode = status
  setStatusMessage(res, '')
}
