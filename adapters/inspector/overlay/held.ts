import { isUtf8 } from 'node:buffer'
import type { IncomingMessage, ServerResponse } from 'node:http'
import { brotliCompressSync, constants, deflateSync, gzipSync } from 'node:zlib'
import { decodeBody } from '../../../src/http/decode-body.js'

/** Names as they were written, and values. */
export type HeaderPairs = readonly (readonly [name: string, value: string | readonly string[]])[]

/** An HTML page that is held back until it is whole. */
export interface HeldPage {
  readonly status: number
  /** As the application has set them. */
  readonly headers: HeaderPairs
  readonly html: string
}

/** Why a page is sent as it is though it is HTML. */
export type NotHeld = 'too-long' | 'too-slow' | 'charset' | 'coding' | 'node'

/** What is done with held pages. */
export interface Holder {
  /** Changes the headers that are sent with the page; what the application sees of them stays as it is. */
  headers(pairs: HeaderPairs): HeaderPairs
  /** Returns what is sent instead of the page. */
  draw(page: HeldPage): Promise<string>
  onNotHeld(why: NotHeld): void
}

/** A page that is longer is sent as it is. */
const MAX_BYTES = 8 * 1024 * 1024
/** So is one whose end does not come. */
const MAX_WAIT_MS = 10_000

/** They tell of the bytes of the page as it was. */
const OF_THE_BYTES: ReadonlySet<string> = new Set([
  'accept-ranges',
  'content-digest',
  'content-length',
  'content-md5',
  'digest',
  'etag',
  'last-modified',
  'repr-digest',
])

type Encode = (body: Buffer) => Buffer

/** By `Content-Encoding`, for those that are decoded too. */
const ENCODERS: Readonly<Record<string, Encode>> = {
  '': (body) => body,
  identity: (body) => body,
  gzip: (body) => gzipSync(body),
  'x-gzip': (body) => gzipSync(body),
  deflate: (body) => deflateSync(body),
  br: (body) => brotliCompressSync(body, { params: { [constants.BROTLI_PARAM_QUALITY]: 4 } }),
}

type Store = (this: ServerResponse, firstLine: string, headers: unknown) => unknown

/**
 * Holds a response back if it turns out to be an HTML page, and sends something else in its place. Every
 * other response goes its way untouched.
 *
 * What comes before in the chain of handlers, as a cache of responses, sees its own headers and bytes:
 * only what leaves the process is changed, and after everybody has had the last word. Node has no public
 * hook there; where its internal one is missing, nothing is held.
 */
export function holdPages(req: IncomingMessage, res: ServerResponse, holder: Holder): void {
  new Hold(req, res, holder)
}

class Hold {
  #state: 'undecided' | 'held' | 'passed' = 'undecided'
  #hasEnded = false
  #parts: Buffer[] = []
  #length = 0
  #headers: HeaderPairs = []
  #coding = ''
  #timer: NodeJS.Timeout | undefined
  readonly #write: (...args: unknown[]) => boolean
  readonly #end: (...args: unknown[]) => ServerResponse

  constructor(
    private readonly req: IncomingMessage,
    private readonly res: ServerResponse,
    private readonly holder: Holder,
  ) {
    this.#write = res.write.bind(res) as (...args: unknown[]) => boolean
    this.#end = res.end.bind(res) as (...args: unknown[]) => ServerResponse
    const hooked = res as unknown as { _storeHeader?: Store }
    const store = hooked._storeHeader
    if (typeof store !== 'function') {
      this.#state = 'passed'
      holder.onNotHeld('node')
      return
    }
    hooked._storeHeader = (firstLine, headers) => {
      const pairs = this.#tryToDecide(headers)
      return store.call(res, firstLine, pairs === undefined ? headers : pairs.flat(1))
    }
    res.write = (...args: unknown[]) => this.#onWrite(args)
    res.end = (...args: unknown[]) => this.#onEnd(args)
    res.on('close', () => this.#drop())
  }

  #tryToDecide(given: unknown): HeaderPairs | undefined {
    try {
      return this.#decide(given)
    } catch (error) {
      this.#state = 'passed'
      warnOfFault(error)
      return undefined
    }
  }

  /** @returns The headers to be sent; `undefined`: as they are. */
  #decide(given: unknown): HeaderPairs | undefined {
    const { res, req } = this
    if (this.#state !== 'undecided') return undefined
    this.#state = 'passed'
    const pairs = pairsOf(res, given)
    const status = res.statusCode
    if (req.method === 'HEAD' || status < 200 || [204, 205, 206, 304].includes(status))
      return undefined
    if (!isHtml(valueOf(pairs, 'content-type'))) return undefined
    if (/^\s*attachment/i.test(valueOf(pairs, 'content-disposition'))) return undefined
    const charset =
      /charset\s*=\s*"?([^\s;"]+)/i.exec(valueOf(pairs, 'content-type'))?.[1] ?? 'utf-8'
    if (!/^utf-?8$/i.test(charset)) {
      this.holder.onNotHeld('charset')
      return undefined
    }
    this.#coding = valueOf(pairs, 'content-encoding').trim().toLowerCase()
    if (ENCODERS[this.#coding] === undefined) {
      this.holder.onNotHeld('coding')
      return undefined
    }
    this.#state = 'held'
    this.#headers = pairs
    return this.holder.headers(pairs.filter(([name]) => !OF_THE_BYTES.has(name.toLowerCase())))
  }

  /** Whatever is HTML has its headers made into bytes before the first byte of its body. */
  #begin(): void {
    const { res } = this
    if (this.#state !== 'undecided') return
    if (!res.headersSent && isHtml(String(res.getHeader('Content-Type') ?? ''))) {
      res.writeHead(res.statusCode)
    }
  }

  #onWrite(args: unknown[]): boolean {
    if (this.#hasEnded) return false
    this.#begin()
    if (this.#state !== 'held') return this.#write(...args)
    const callback = args.find((arg) => typeof arg === 'function')
    if (callback !== undefined) process.nextTick(callback)
    this.#keep(args)
    if (this.#length > MAX_BYTES) this.#letGo('too-long')
    else this.#timer ??= setTimeout(() => this.#letGo('too-slow'), MAX_WAIT_MS).unref()
    return true
  }

  #onEnd(args: unknown[]): ServerResponse {
    if (this.#hasEnded) return this.res
    this.#begin()
    if (this.#state !== 'held') return this.#end(...args)
    this.#hasEnded = true
    clearTimeout(this.#timer)
    this.#keep(args)
    const callback = args.find((arg) => typeof arg === 'function') as (() => void) | undefined
    void this.#finish().then((body) => {
      if (this.res.destroyed) return
      this.#end(body, ...(callback === undefined ? [] : [callback]))
    })
    return this.res
  }

  /** Never rejects. */
  async #finish(): Promise<Buffer> {
    const sent = Buffer.concat(this.#parts)
    this.#parts = []
    const encode = ENCODERS[this.#coding] as Encode
    try {
      const { statusCode: status } = this.res
      const bytes = decodeBody(this.#coding, sent, MAX_BYTES)
      if (bytes === undefined) {
        this.holder.onNotHeld('coding')
        return sent
      }
      if (!isUtf8(bytes)) {
        // It names no charset, and is in another: as text it would lose what it says.
        this.holder.onNotHeld('charset')
        return sent
      }
      const html = bytes.toString('utf8')
      const drawn = await this.holder.draw({ status, headers: this.#headers, html })
      return encode(Buffer.from(drawn))
    } catch (error) {
      warnOfFault(error)
      return sent
    }
  }

  #keep([chunk, encoding]: readonly unknown[]): void {
    if (typeof chunk === 'string') {
      const known = typeof encoding === 'string' ? (encoding as BufferEncoding) : 'utf8'
      this.#parts.push(Buffer.from(chunk, known))
    } else if (chunk instanceof Uint8Array) {
      // A copy, since the view may use its buffer again.
      this.#parts.push(Buffer.from(chunk))
    } else return
    this.#length += (this.#parts.at(-1) as Buffer).length
  }

  /** Sends what there is, and the rest as it comes. */
  #letGo(why: NotHeld): void {
    if (this.#state !== 'held' || this.#hasEnded) return
    this.#state = 'passed'
    clearTimeout(this.#timer)
    for (const part of this.#parts.splice(0)) this.#write(part)
    this.holder.onNotHeld(why)
  }

  #drop(): void {
    clearTimeout(this.#timer)
    this.#parts = []
  }
}

let hasWarned = false

function warnOfFault(error: unknown): void {
  if (hasWarned) return
  hasWarned = true
  process.emitWarning(
    `overlay: a page could not be drawn on, and is sent as it is: ${String(error)}; reported once`,
    { type: 'CacheOverlayWarning', code: 'FRAGCACHE_OVERLAY_FAILED' },
  )
}

function isHtml(contentType: string): boolean {
  return /^\s*text\/html\s*(?:;|$)/i.test(contentType)
}

/** The headers that are about to become bytes, in whichever form Node hands them on. */
function pairsOf(res: ServerResponse, given: unknown): HeaderPairs {
  const names = rawHeaderNames(res)
  if (names.length > 0) return names.map((name) => [name, toValue(res.getHeader(name))] as const)
  if (Array.isArray(given)) {
    const list = given as unknown[]
    if (Array.isArray(list[0])) {
      return (list as [unknown, unknown][]).map(([name, value]) => [String(name), toValue(value)])
    }
    return list.flatMap((name, at) =>
      at % 2 === 0 ? [[String(name), toValue(list[at + 1])] as const] : [],
    )
  }
  return Object.entries(given ?? {}).map(([name, value]) => [name, toValue(value)] as const)
}

function toValue(value: unknown): string | readonly string[] {
  return Array.isArray(value) ? value.map(String) : String(value)
}

/** As written; the types of Node know it for requests only. */
function rawHeaderNames(res: ServerResponse): readonly string[] {
  const { getRawHeaderNames } = res as { getRawHeaderNames?: () => string[] }
  return getRawHeaderNames?.call(res) ?? res.getHeaderNames()
}

/** A header's value as one text; the empty text: there is none. */
export function valueOf(pairs: HeaderPairs, name: string): string {
  return pairs
    .filter(([own]) => own.toLowerCase() === name)
    .flatMap(([, value]) => value)
    .join(', ')
}
