import type { ServerResponse } from 'node:http'

/** What describes a body. @see RFC 9110 §8, RFC 9111 §5.3 */
const BODY_HEADERS = [
  'Content-Encoding',
  'Content-Language',
  'Content-Length',
  'Content-Range',
  'ETag',
  'Expires',
  'Last-Modified',
]

/** Answers in place of a handler that takes too long, where no error handler can. */
export function answerTimedOut(res: ServerResponse): void {
  if (res.headersSent) return
  res.statusCode = 504
  for (const name of BODY_HEADERS) res.removeHeader(name)
  res.setHeader('Cache-Control', 'no-store')
  res.setHeader('Content-Type', 'text/plain; charset=utf-8')
  res.end('Gateway Timeout')
}

/** What changes headers; Node throws once they are sent. */
const HEADER_METHODS = [
  'setHeader',
  'appendHeader',
  'setHeaders',
  'removeHeader',
  'writeHead',
] as const

/**
 * Drops from now on what a handler writes to a response that was answered without it, instead of failing: the
 * handler knows of nothing, and its failure would end the process or the connection.
 */
export function dropLateWrites(res: ServerResponse): void {
  const methods = res as unknown as Record<string, ((...args: unknown[]) => unknown) | undefined>
  const drop = (name: string, isOver: () => boolean, result: unknown) => {
    const own = methods[name]?.bind(res)
    if (own === undefined) return
    methods[name] = (...args) => (isOver() ? result : own(...args))
  }
  for (const name of HEADER_METHODS) drop(name, () => res.headersSent, res)
  drop('write', () => res.writableEnded, true)
  drop('end', () => res.writableEnded, res)
}
