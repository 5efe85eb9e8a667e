import type { Request, RequestHandler, Response } from 'express'

interface Kept {
  status: number
  headers: NodeJS.Dict<number | string | string[]>
  body: Buffer
  staleAtMs: number
}

/** Ways in which caches are too simple. Without any: whatever was answered for a URL is its answer. */
export interface NaiveOptions {
  /** Default: the URL as sent. */
  readonly keyOf?: (req: Request) => string
  /** Default: for ever. */
  readonly seconds?: number
  /** Requests for what somebody asks for already get the same answer. */
  readonly joins?: boolean
  /** They get it when the first of them has read it. */
  readonly joinsLate?: boolean
  /** As `joins`, but where a private answer once came, never again: whoever asked for it. */
  readonly marks?: boolean
  /** What is stale is revalidated with its ETag; a 304 makes it fresh, whoever it was meant for. */
  readonly revalidates?: boolean
  /** What is stale is kept for as long as the view fails. */
  readonly staleIfError?: boolean
  /** Answers requests for parts, however many they are. */
  readonly ranges?: boolean
  /** Requests that are not for the cache. */
  readonly bypass?: (req: Request) => boolean
  /** An answer to POST drops what it names, wherever that is. */
  readonly flushes?: boolean
  /** Takes the method that a header names for that of the request. */
  readonly overridden?: boolean
  /** Keeps private answers out by looking for the word. */
  readonly sparesPrivate?: boolean
  /** Of the headers it keeps the type alone. */
  readonly bodyOnly?: boolean
  /** Tells where an answer is kept. */
  readonly tellsKey?: boolean
}

/** A response cache as one writes it in ten minutes. */
export interface NaiveCache {
  readonly middleware: RequestHandler
  readonly kept: ReadonlyMap<string, unknown>
}

/**
 * The attacks on the real cache are shown to succeed against one of these, so that they are
 * attacks.
 */
export function naiveCache(options: NaiveOptions = {}): NaiveCache {
  const kept = new Map<string, Kept>()
  const running = new Map<string, Promise<Kept>>()
  const unshared = new Set<string>()
  const keyOf = options.keyOf ?? ((req: Request) => req.originalUrl)

  const middleware: RequestHandler = function naiveCache(req, res, next) {
    const override = options.overridden === true ? req.get('x-http-method-override') : undefined
    const method = override ?? req.method
    if (options.bypass?.(req) === true) return next()
    if (options.flushes === true && method !== 'GET') {
      res.on('finish', () => flush(kept, req, res))
      return next()
    }
    const key = keyOf(req)
    const found = kept.get(key)
    const isStale = found !== undefined && Date.now() >= found.staleAtMs
    if (found !== undefined && !isStale) return answer(found, req, res, key)
    const leader = running.get(key)
    if (leader !== undefined && options.joins === true && !unshared.has(key)) {
      void leader.then((page) => answer(page, req, res, key))
      return
    }
    const etag = found?.headers['etag']
    if (isStale && options.revalidates === true && typeof etag === 'string') {
      req.headers['if-none-match'] ??= etag
    }
    const result = record(res, options.joinsLate === true, (page) => {
      running.delete(key)
      if (/private/.test(String(page.headers['cache-control']))) {
        if (options.marks === true) unshared.add(key)
        if (options.sparesPrivate === true) return page
      }
      const staleAtMs = Date.now() + (options.seconds ?? Infinity) * 1000
      if (page.status === 304 && found !== undefined && options.revalidates === true) {
        const headers = { ...found.headers, ...page.headers }
        kept.set(key, { ...found, headers, staleAtMs })
      } else if (page.status >= 500 && found !== undefined && options.staleIfError === true) {
        kept.set(key, { ...found, staleAtMs })
      } else {
        kept.set(key, { ...page, staleAtMs })
      }
      return page
    })
    running.set(key, result)
    next()
  }

  function answer(page: Kept, req: Request, res: Response, key: string): void {
    if (options.tellsKey === true) res.setHeader('X-Cache', `hit; key="${key}"`)
    const { range } = req.headers
    if (options.ranges === true && range !== undefined) return answerParts(page, range, res)
    const type = page.headers['content-type'] ?? 'text/html'
    const headers = options.bodyOnly === true ? { 'content-type': type } : page.headers
    res.writeHead(page.status, headers).end(page.body)
  }

  return { middleware, kept }
}

/** Calls back when the response has ended, or been given up. */
function record(res: Response, isLate: boolean, onEnd: (page: Kept) => Kept): Promise<Kept> {
  return new Promise((resolve) => {
    const parts: Buffer[] = []
    const write = res.write.bind(res) as (...args: unknown[]) => boolean
    const end = res.end.bind(res) as (...args: unknown[]) => Response
    const take = (chunk: unknown) => {
      if (typeof chunk === 'string' || chunk instanceof Uint8Array) parts.push(Buffer.from(chunk))
    }
    let isOver = false
    const finish = () => {
      if (isOver) return
      isOver = true
      const headers = { ...res.getHeaders() }
      const { statusCode: status } = res
      resolve(onEnd({ status, headers, body: Buffer.concat(parts), staleAtMs: 0 }))
    }
    res.write = (...args: unknown[]) => {
      take(args[0])
      return write(...args)
    }
    res.end = (...args: unknown[]) => {
      take(args[0])
      end(...args)
      if (!isLate) finish()
      return res
    }
    res.on('close', finish)
  })
}

function answerParts(page: Kept, range: string, res: Response): void {
  const parts = range.replace('bytes=', '').split(',')
  const bodies = parts.map((part) => {
    const [first = '0', last = ''] = part.trim().split('-')
    return page.body.subarray(Number(first), last === '' ? undefined : Number(last) + 1)
  })
  const { 'content-length': _length, ...headers } = page.headers
  res.writeHead(206, headers).end(Buffer.concat(bodies))
}

function flush(kept: Map<string, unknown>, req: Request, res: Response): void {
  kept.delete(req.originalUrl)
  for (const name of ['Location', 'Content-Location']) {
    const target = res.getHeader(name)
    if (typeof target === 'string') kept.delete(new URL(target, 'http://any.test').pathname)
  }
}
