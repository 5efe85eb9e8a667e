import { MemcachedReplyError } from './faults.js'
import type { Outbox } from './outbox.js'
import type { Protocol } from './protocol.js'
import {
  AS_EXPECTED,
  type CountRequest,
  type GetRequest,
  type Item,
  type LineRequest,
  type RemoveRequest,
  type Request,
  type StoreReply,
  type StoreRequest,
} from './request.js'
import { readDigits, TextFrames, type TextFrame } from './text-frames.js'

/** The words in which the two dialects of the text protocol differ. */
interface Dialect {
  get(request: GetRequest): string
  /** The line before the value. */
  store(request: StoreRequest): string
  remove(request: RemoveRequest): string
  count(request: CountRequest): string
  /** Reads one frame. `MORE`: the answer goes on. */
  readItem(request: GetRequest, frame: TextFrame): Item | undefined | typeof MORE
  readonly storeReplies: ReadonlyMap<string, StoreReply>
  readonly removeReplies: ReadonlyMap<string, boolean>
  readCount(frame: TextFrame): string | undefined
}

const MORE = Symbol('more')
const NO_VALUE = Buffer.alloc(0)

const SPACE = 0x20
const MINUS = 0x2d
const LETTER_H = 0x48
const LETTER_C = 0x63
const LETTER_F = 0x66
const LETTER_T = 0x74

function isBody({ bodyBytes, bodyStart, bodyEnd }: TextFrame, expected: Buffer): boolean {
  return (
    bodyEnd - bodyStart === expected.length && expected.compare(bodyBytes, bodyStart, bodyEnd) === 0
  )
}

function endOfToken({ bytes, end }: TextFrame, start: number): number {
  const space = bytes.indexOf(SPACE, start)
  return space === -1 || space > end ? end : space
}

/** Meta commands, which memcached has since 1.6: short, and they tell what time is left. */
export class MetaDialect implements Dialect {
  get({ key, withValue, withCas, withSecondsLeft }: GetRequest): string {
    return `mg ${key} f${withValue ? ' v' : ''}${withCas ? ' c' : ''}${withSecondsLeft ? ' t' : ''}\r\n`
  }

  store({ mode, key, value, flags, exptime, cas }: StoreRequest): string {
    const condition = mode === 'set' ? '' : mode === 'add' ? ' ME' : ` C${cas}`
    return `ms ${key} ${value.length} F${flags} T${exptime}${condition}\r\n`
  }

  remove({ key }: RemoveRequest): string {
    return `md ${key}\r\n`
  }

  count({ key, delta }: CountRequest): string {
    return `ma ${key} D${delta} v c\r\n`
  }

  readItem({ withValue, expected }: GetRequest, frame: TextFrame): Item | undefined {
    const { bytes, start, end } = frame
    if (!frame.hasBody) {
      if (frame.line === 'EN') return undefined
      if (withValue || bytes[start] !== LETTER_H) throw unexpected(frame.line)
    } else if (expected !== undefined && isBody(frame, expected)) return AS_EXPECTED
    let flags = 0
    let cas: string | undefined
    let secondsLeft: number | undefined
    for (let i = start + 3; i < end; i++) {
      if (bytes[i - 1] !== SPACE) continue
      const mark = bytes[i]
      if (mark === LETTER_F) flags = readDigits(frame, i + 1)
      else if (mark === LETTER_C) {
        cas = bytes.toString('latin1', i + 1, endOfToken(frame, i))
      } else if (mark === LETTER_T) {
        secondsLeft = bytes[i + 1] === MINUS ? -1 : readDigits(frame, i + 1)
      }
    }
    if (Number.isNaN(flags) || Number.isNaN(secondsLeft)) throw unexpected(frame.line)
    return { value: frame.body ?? NO_VALUE, flags, cas, secondsLeft }
  }

  readonly storeReplies = new Map<string, StoreReply>([
    ['HD', 'stored'],
    ['NS', 'refused'],
    ['EX', 'refused'],
    ['NF', 'missing'],
  ])

  readonly removeReplies = new Map([
    ['HD', true],
    ['NF', false],
  ])

  readCount({ line, body }: TextFrame): string | undefined {
    if (body !== undefined) return body.toString('latin1')
    if (line === 'NF') return undefined
    throw unexpected(line)
  }
}

/** The commands that every memcached knows. */
export class ClassicDialect implements Dialect {
  #item: Item | undefined

  get({ key, withCas }: GetRequest): string {
    return `${withCas ? 'gets' : 'get'} ${key}\r\n`
  }

  store({ mode, key, value, flags, exptime, cas }: StoreRequest): string {
    const condition = mode === 'cas' ? ` ${cas}` : ''
    return `${mode} ${key} ${flags} ${exptime} ${value.length}${condition}\r\n`
  }

  remove({ key }: RemoveRequest): string {
    return `delete ${key}\r\n`
  }

  count({ key, delta }: CountRequest): string {
    return `incr ${key} ${delta}\r\n`
  }

  readItem({ key }: GetRequest, { line, body }: TextFrame): Item | undefined | typeof MORE {
    if (body === undefined) {
      if (line !== 'END') throw unexpected(line)
      const item = this.#item
      this.#item = undefined
      return item
    }
    const [, itsKey, flags = '', , cas] = line.split(' ')
    if (itsKey !== key || this.#item !== undefined) throw unexpected(line)
    this.#item = { value: body, flags: readNumber(flags, line), cas, secondsLeft: undefined }
    return MORE
  }

  readonly storeReplies = new Map<string, StoreReply>([
    ['STORED', 'stored'],
    ['NOT_STORED', 'refused'],
    ['EXISTS', 'refused'],
    ['NOT_FOUND', 'missing'],
  ])

  readonly removeReplies = new Map([
    ['DELETED', true],
    ['NOT_FOUND', false],
  ])

  readCount({ line }: TextFrame): string | undefined {
    return line === 'NOT_FOUND' ? undefined : line
  }
}

/** Of a command that both dialects share. */
const TOUCH_REPLIES = new Map([
  ['TOUCHED', true],
  ['NOT_FOUND', false],
])

/** The text protocol, in one of its dialects. */
export class TextProtocol implements Protocol {
  readonly #frames = new TextFrames()
  #dialect: Dialect
  /** Of an answer that goes on. */
  #stats = new Map<string, string>()

  constructor(dialect: Dialect) {
    this.#dialect = dialect
  }

  encode(request: Request, out: Outbox): void {
    switch (request.type) {
      case 'get':
        out.text(this.#dialect.get(request))
        break
      case 'store':
        out.text(this.#dialect.store(request))
        if (typeof request.value === 'string') out.text(request.value)
        else out.bytes(request.value)
        out.text('\r\n')
        break
      case 'remove':
        out.text(this.#dialect.remove(request))
        break
      case 'touch':
        out.text(`touch ${request.key} ${request.exptime}\r\n`)
        break
      case 'count':
        out.text(this.#dialect.count(request))
        break
      case 'flush':
        out.text('flush_all\r\n')
        break
      case 'version':
        out.text('version\r\n')
        break
      case 'stats':
        out.text(request.subject === '' ? 'stats\r\n' : `stats ${request.subject}\r\n`)
        break
      case 'auth':
        throw new Error('the text protocol knows no SASL')
    }
  }

  /** For what is encoded from now on; nothing may be unanswered. */
  use(dialect: Dialect): void {
    this.#dialect = dialect
  }

  receive(chunk: Buffer, next: () => Request | undefined, answered: () => void): void {
    this.#frames.push(chunk)
    for (let frame = this.#frames.next(); frame !== undefined; frame = this.#frames.next()) {
      const request = next()
      if (request === undefined) throw unexpected(frame.line)
      this.#settle(request, frame, answered)
    }
  }

  #settle(request: Request, frame: TextFrame, answered: () => void): void {
    if (!frame.hasBody && this.#settleFailed(request, frame.line, answered)) return
    switch (request.type) {
      case 'get': {
        const item = this.#dialect.readItem(request, frame)
        if (item === MORE) return
        answered()
        request.done(undefined, item)
        return
      }
      case 'store':
        settle(request, this.#dialect.storeReplies.get(frame.line), frame, answered)
        return
      case 'remove':
        settle(request, this.#dialect.removeReplies.get(frame.line), frame, answered)
        return
      case 'touch':
        settle(request, TOUCH_REPLIES.get(frame.line), frame, answered)
        return
      case 'count': {
        const sum = this.#dialect.readCount(frame)
        if (sum !== undefined && !/^\d{1,20}$/.test(sum)) throw unexpected(sum)
        const cas = frame.hasBody ? / c(\d+)/.exec(frame.line)?.[1] : undefined
        answered()
        request.done(undefined, sum === undefined ? undefined : BigInt(sum), cas)
        return
      }
      case 'stats': {
        const { line } = frame
        if (line !== 'END') {
          const [word, name = '', ...value] = line.split(' ')
          if (word !== 'STAT') throw unexpected(line)
          this.#stats.set(name, value.join(' '))
          return
        }
        const stats = this.#stats
        this.#stats = new Map()
        answered()
        request.done(undefined, stats)
        return
      }
      default:
        settle(request as LineRequest, frame.line, frame, answered)
    }
  }

  /** @returns Whether the line is an error. */
  #settleFailed(request: Request, line: string, answered: () => void): boolean {
    const isOfServer = line.startsWith('SERVER_ERROR')
    if (!isOfServer && line !== 'ERROR' && !line.startsWith('CLIENT_ERROR')) return false
    const error = new MemcachedReplyError(line.slice(0, 200))
    if (request.type === 'store' && line.includes('too large')) {
      answered()
      request.done(undefined, 'too_large')
    } else if (request.type === 'count' && line.includes('non-numeric')) {
      answered()
      request.done(undefined, null)
    } else if (isOfServer || request.type === 'version') {
      answered()
      request.done(error, undefined)
    } else {
      // The server did not understand: what it makes of the bytes that follow nobody knows.
      throw error
    }
    return true
  }
}

function settle<Reply>(
  request: { readonly done: (error: undefined, reply: Reply) => void },
  reply: Reply | undefined,
  { line }: TextFrame,
  answered: () => void,
): void {
  if (reply === undefined) throw unexpected(line)
  answered()
  request.done(undefined, reply)
}

function readNumber(text: string, line: string): number {
  const number = Number(text)
  if (text === '' || !Number.isSafeInteger(number)) throw unexpected(line)
  return number
}

function unexpected(line: string): Error {
  return new Error(`unexpected answer ${JSON.stringify(line.slice(0, 80))}`)
}
