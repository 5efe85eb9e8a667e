import type { RequestHandler } from 'express'

interface Kept {
  readonly status: number
  readonly headers: NodeJS.Dict<number | string | string[]>
  readonly body: Buffer
}

/**
 * A response cache as one writes it in ten minutes: whatever was answered for a URL is the answer
 * for that URL. The attacks on the real one are shown to succeed here, so that they are attacks.
 */
export function naiveCache(): RequestHandler {
  const kept = new Map<string, Kept>()
  return function naiveCache(req, res, next) {
    const found = kept.get(req.originalUrl)
    if (found !== undefined) {
      res.writeHead(found.status, found.headers).end(found.body)
      return
    }
    const parts: Buffer[] = []
    const write = res.write.bind(res) as (...args: unknown[]) => boolean
    const end = res.end.bind(res) as (...args: unknown[]) => typeof res
    const take = (chunk: unknown) => {
      if (typeof chunk === 'string' || chunk instanceof Uint8Array) parts.push(Buffer.from(chunk))
    }
    res.write = (...args: unknown[]) => {
      take(args[0])
      return write(...args)
    }
    res.end = (...args: unknown[]) => {
      take(args[0])
      end(...args)
      const headers = { ...res.getHeaders() }
      kept.set(req.originalUrl, { status: res.statusCode, headers, body: Buffer.concat(parts) })
      return res
    }
    next()
  }
}
