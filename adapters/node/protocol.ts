import type { IncomingMessage, ServerResponse } from 'node:http'
import type { ServerHttp2Stream } from 'node:http2'

/**
 * What only requests and responses of `node:http2`'s compatibility API have. Their types elsewhere are those of
 * `node:http`, which promise more than these objects have.
 */
interface OverHttp2 {
  readonly stream?: ServerHttp2Stream | undefined
  readonly authority?: string | undefined
  readonly scheme?: string | undefined
}

function streamOf(message: object): ServerHttp2Stream | undefined {
  return (message as OverHttp2).stream
}

/** Whether the connection is gone, so that nothing that is sent arrives. */
export function isGone(res: ServerResponse): boolean {
  const stream = streamOf(res)
  return stream === undefined ? res.destroyed || hasFailed(res.req) : stream.destroyed
}

/**
 * Whether the connection broke before the response was done. The response itself does not hear of that while it waits
 * for those of earlier requests on its connection, since it has no socket yet.
 *
 * @see RFC 9112 §9.3.2, pipelining
 */
function hasFailed(req: IncomingMessage): boolean {
  return req.errored instanceof Error
}

/**
 * Calls back once the connection is gone, or the response was sent: in a moment, if that was so before. If a
 * request was injected, as in Fastify's tests, that is reported from within `res.end`: then too it calls back a
 * moment later, when its end has been dealt with.
 */
export function onClosed(res: ServerResponse, listener: () => void): void {
  if (isGone(res)) {
    queueMicrotask(listener)
    return
  }
  let isTold = false
  const tell = () => {
    if (isTold) return
    isTold = true
    if (res.writableEnded) queueMicrotask(listener)
    else listener()
  }
  res.once('close', tell)
  if (res.socket !== null) return
  res.req.once('close', () => {
    if (isGone(res)) tell()
  })
}

/** `undefined` over HTTP/2, which has none; to read it there makes Node emit a warning. @see RFC 9113 §8.3.2 */
export function statusMessageOf(res: ServerResponse): string | undefined {
  return streamOf(res) === undefined ? res.statusMessage : undefined
}

/** @param text - If empty, the server sends the usual one of the status. */
export function setStatusMessage(res: ServerResponse, text: string): void {
  if (streamOf(res) === undefined) res.statusMessage = text
}

/** Those of a message's raw headers, which are names and values in turns, whose lower-case name is meant. */
export function rawHeadersOf(
  rawHeaders: readonly string[],
  isMeant: (name: string) => boolean,
): string[] {
  return rawHeaders.filter((_text, i) => isMeant((rawHeaders[i - (i % 2)] ?? '').toLowerCase()))
}

/** The header fields of a request, in each form that Node has for them; over HTTP/2 there are two. */
export type HeaderForms = Pick<IncomingMessage, 'headers' | 'rawHeaders'> & {
  readonly headersDistinct?: IncomingMessage['headersDistinct'] | undefined
}

/**
 * The headers of a request that Node tells apart.
 *
 * @returns `undefined`: there are none, as over HTTP/2, or Node cannot tell them, since a layer has dropped raw headers.
 */
export function distinctOf(req: IncomingMessage): HeaderForms['headersDistinct'] {
  try {
    return req.headersDistinct
  } catch {
    return undefined
  }
}

/** A copy of those whose lower-case name is meant. */
export function meantOf(
  distinct: HeaderForms['headersDistinct'],
  isMeant: (name: string) => boolean,
): HeaderForms['headersDistinct'] {
  if (distinct === undefined) return undefined
  const meant = Object.create(null) as NodeJS.Dict<string[]>
  for (const [name, values] of Object.entries(distinct)) {
    if (values !== undefined && isMeant(name)) meant[name] = [...values]
  }
  return meant
}

/**
 * Replaces the headers of a request, which has no setters for them over HTTP/2.
 *
 * @param forms - With `rawHeaders` also `headersDistinct`: Node makes these from the raw ones when they are first read,
 *   and takes as many as the client sent.
 */
export function setHeaders(req: IncomingMessage, forms: Partial<HeaderForms>): void {
  const { headers, rawHeaders, headersDistinct } = forms
  if (headers !== undefined) set(req, 'headers', headers)
  if (rawHeaders !== undefined) set(req, 'rawHeaders', rawHeaders)
  if (headersDistinct !== undefined) set(req, 'headersDistinct', headersDistinct)
}

function set(req: IncomingMessage, name: keyof HeaderForms, value: unknown): void {
  if (Reflect.set(req, name, value)) return
  Object.defineProperty(req, name, {
    value,
    writable: true,
    configurable: true,
    enumerable: true,
  })
}

/**
 * Lets a request over HTTP/1.1 that is a copy of another tell where it goes to in the way of that one.
 *
 * @returns What the original names over HTTP/2, where handlers for HTTP/1.1 read `Host`.
 * @see RFC 9113 §8.3.1: who converts a request to HTTP/1.1 makes `Host` of it
 */
export function tellHost(copy: IncomingMessage, original: IncomingMessage): string | undefined {
  const { authority, scheme } = original as OverHttp2
  if (authority !== undefined) Object.assign(copy, { authority, scheme })
  return authority
}

/**
 * Whether a request has a body that no header field announces.
 *
 * @see RFC 9113 §8.1: over HTTP/2 its length need not be told
 */
export function hasUntoldBody(req: IncomingMessage): boolean {
  // To look for what is not there takes long, and this is asked of every request.
  if (req.httpVersionMajor < 2) return false
  return streamOf(req)?.endAfterHeaders === false
}

/**
 * Calls back just before the headers of a response become bytes.
 *
 * @returns Whether the listener will be called.
 */
export function beforeBytes(res: ServerResponse, listener: () => void): boolean {
  const stream = streamOf(res)
  // Node has no public hook for that; over HTTP/2 it calls a method of the stream.
  return stream === undefined
    ? hook(res, '_storeHeader', listener)
    : hook(stream, 'respond', listener)
}

/** Calls back when trailers are added to a response; over HTTP/2 there is a method for a single one too. */
export function onTrailers(res: ServerResponse, listener: () => void): void {
  for (const name of ['addTrailers', 'setTrailer']) hook(res, name, listener)
}

function hook(object: object, name: string, listener: () => void): boolean {
  const methods = object as Record<string, ((...args: unknown[]) => unknown) | undefined>
  const method = methods[name]
  if (typeof method !== 'function') return false
  methods[name] = function hooked(...args) {
    listener()
    return method.apply(this, args)
  }
  return true
}
