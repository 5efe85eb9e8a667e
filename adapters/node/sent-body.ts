import type { ServerResponse } from 'node:http'

/**
 * A copy of what `res.write` or `res.end` is given, since the handler may use its buffer again.
 *
 * @returns `undefined`: it is given nothing.
 */
export function bytesOf([chunk, encoding]: readonly unknown[]): Buffer | undefined {
  if (typeof chunk === 'string') return Buffer.from(chunk, encodingOf(encoding))
  return chunk instanceof Uint8Array ? Buffer.from(chunk) : undefined
}

/** Whether a layer around gets the bytes of a body before the server does: it may change them where they are. */
export function isBodyWrapped(res: ServerResponse): boolean {
  return Object.hasOwn(res, 'write') || Object.hasOwn(res, 'end')
}

/** The bytes of a kept page as they can be sent, so that the page stays the same. */
export function toSend(body: Buffer, isWrapped: boolean): Buffer {
  return isWrapped ? Buffer.from(body) : body
}

/** The callback among the arguments of `res.write` or `res.end`. */
export function callbackOf(args: readonly unknown[]): (() => void) | undefined {
  return args.find((argument): argument is () => void => typeof argument === 'function')
}

/**
 * Sets the length of a body that is sent as a whole, as the server does by itself where the headers are
 * sent with it.
 *
 * @param whole - As `res.end` takes it.
 */
export function declareLength(res: ServerResponse, [chunk, encoding]: readonly unknown[]): void {
  if (res.statusCode === 204 || res.statusCode === 304 || res.req.method === 'HEAD') return
  if (['Content-Length', 'Transfer-Encoding', 'Trailer'].some((name) => res.hasHeader(name))) return
  const length =
    typeof chunk === 'string'
      ? Buffer.byteLength(chunk, encodingOf(encoding))
      : chunk instanceof Uint8Array
        ? chunk.byteLength
        : 0
  res.setHeader('Content-Length', length)
}

function encodingOf(encoding: unknown): BufferEncoding {
  return typeof encoding === 'string' && Buffer.isEncoding(encoding) ? encoding : 'utf8'
}
