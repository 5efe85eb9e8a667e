import type { IncomingMessage, ServerResponse } from 'node:http'
import type { ServerHttp2Stream } from 'node:http2'

/**
 * What the compatibility API of `node:http2` has in another form than `node:http`. Where a request or
 * response came over HTTP/2, its types here are wider than it is.
 */
interface OverHttp2 {
  readonly stream?: ServerHttp2Stream | undefined
}

function streamOf(message: object): ServerHttp2Stream | undefined {
  return (message as OverHttp2).stream
}

/** Whether nothing that is sent arrives any more. */
export function isGone(res: ServerResponse): boolean {
  const stream = streamOf(res)
  return stream === undefined ? res.destroyed : stream.destroyed
}

/** @see RFC 9113 §8.3.2: there is none over HTTP/2, and Node warns of whoever asks. */
export function statusMessageOf(res: ServerResponse): string | undefined {
  return streamOf(res) === undefined ? res.statusMessage : undefined
}

/** @param text - The empty one: the server puts the status's own. */
export function setStatusMessage(res: ServerResponse, text: string): void {
  if (streamOf(res) === undefined) res.statusMessage = text
}

/** Gives a request other headers; over HTTP/2 it has no setters for them. */
export function setHeaders(
  req: IncomingMessage,
  { headers, rawHeaders }: Partial<Pick<IncomingMessage, 'headers' | 'rawHeaders'>>,
): void {
  if (headers !== undefined) set(req, 'headers', headers)
  if (rawHeaders !== undefined) set(req, 'rawHeaders', rawHeaders)
}

function set(req: IncomingMessage, name: 'headers' | 'rawHeaders', value: unknown): void {
  if (Reflect.set(req, name, value)) return
  Object.defineProperty(req, name, {
    value,
    writable: true,
    configurable: true,
    enumerable: true,
  })
}

/**
 * Whether a request has a body though no field says so.
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
  // Node has no public hook there; over HTTP/2 it calls a method of the stream.
  return stream === undefined
    ? hook(res, '_storeHeader', listener)
    : hook(stream, 'respond', listener)
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
