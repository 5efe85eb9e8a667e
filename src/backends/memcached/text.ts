import { MemcachedReplyError } from './faults.js'
import { MultiGet } from './multi-get.js'
import type { Outbox } from './outbox.js'
import type { Protocol } from './protocol.js'
import {
  AS_EXPECTED,
  type CountRequest,
  type GetRequest,
  type Item,
  type RemoveRequest,
  type Request,
  type StatsRequest,
  type StoreReply,
  type StoreCommand,
  type TouchRequest,
} from './request.js'
import { readDigits, TextFrames, unexpected, type TextFrame } from './text-frames.js'

/** The words in which the two dialects of the text protocol differ. */
interface Dialect {
  /** @param number - Of the command on its connection, for an answer that can name it. */
  get(request: GetRequest, number: number): string
  /** The line before the value. */
  store(request: StoreCommand, number: number): string
  remove(request: RemoveRequest, number: number): string
  touch(request: TouchRequest, number: number): string
  count(request: CountRequest, number: number): string
  /** Whether an answer is to the command of this number, as far as that can be told. */
  isAnswerTo(number: number, frame: TextFrame): boolean
  /** What an answer without a value says. */
  readWord(frame: TextFrame): string
  /** Reads one frame. `MORE`: the answer goes on. */
  readItem(request: GetRequest, frame: TextFrame): Item | undefined | typeof MORE
  readonly storeReplies: ReadonlyMap<string, StoreReply>
  readonly removeReplies: ReadonlyMap<string, boolean>
  readonly touchReplies: ReadonlyMap<string, boolean>
  readCount(frame: TextFrame): string | undefined
}

const MORE = Symbol('more')
const NO_VALUE = Buffer.alloc(0)

/** Commands of one connection are numbered from 0 up to here, and then from 0 again. */
const NUMBERS = 1e9

const SPACE = 0x20
const MINUS = 0x2d
const LETTER_O = 0x4f
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

/**
 * Meta commands: short, they tell what time is left, and every answer but an error gives back the
 * number (`O`) of its command. Without it an answer that came twice, or not at all, would hand the
 * values of some keys to the readers of others.
 */
export class MetaDialect implements Dialect {
  get({ key, wish }: GetRequest, number: number): string {
    const { withValue, withCas, withSecondsLeft } = wish
    return `mg ${key} O${number} f${withValue ? ' v' : ''}${withCas ? ' c' : ''}${withSecondsLeft ? ' t' : ''}\r\n`
  }

  store({ mode, key, value, flags, exptime, cas }: StoreCommand, number: number): string {
    const condition = mode === 'set' ? '' : mode === 'add' ? ' ME' : ` C${cas}`
    return `ms ${key} ${value.length} O${number} F${flags} T${exptime}${condition}\r\n`
  }

  remove({ key }: RemoveRequest, number: number): string {
    return `md ${key} O${number}\r\n`
  }

  touch({ key, exptime }: TouchRequest, number: number): string {
    return `mg ${key} O${number} T${exptime}\r\n`
  }

  count({ key, delta }: CountRequest, number: number): string {
    return `ma ${key} O${number} D${delta} v c\r\n`
  }

  isAnswerTo(number: number, frame: TextFrame): boolean {
    const { bytes, start, end } = frame
    for (let i = start + 3; i < end; i++) {
      if (bytes[i] === LETTER_O && bytes[i - 1] === SPACE) {
        return readDigits(frame, i + 1) === number
      }
    }
    return false
  }

  readWord({ bytes, start }: TextFrame): string {
    return bytes.toString('latin1', start, start + 2)
  }

  readItem({ wish, expected }: GetRequest, frame: TextFrame): Item | undefined {
    const { bytes, start, end } = frame
    if (!frame.hasBody) {
      const word = this.readWord(frame)
      if (word === 'EN') return undefined
      if (wish.withValue || word !== 'HD') throw unexpected(frame.line)
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

  readonly touchReplies = new Map([
    ['HD', true],
    ['EN', false],
  ])

  readCount(frame: TextFrame): string | undefined {
    const { body } = frame
    if (body !== undefined) return body.toString('latin1')
    if (this.readWord(frame) === 'NF') return undefined
    throw unexpected(frame.line)
  }
}

/**
 * The commands that every memcached knows. A value names its key; that another answer came twice, or
 * not at all, shows only by the next one that is of another kind.
 */
export class ClassicDialect implements Dialect {
  #item: Item | undefined

  get({ key, wish }: GetRequest): string {
    return `${wish.withCas ? 'gets' : 'get'} ${key}\r\n`
  }

  store({ mode, key, value, flags, exptime, cas }: StoreCommand): string {
    const condition = mode === 'cas' ? ` ${cas}` : ''
    return `${mode} ${key} ${flags} ${exptime} ${value.length}${condition}\r\n`
  }

  remove({ key }: RemoveRequest): string {
    return `delete ${key}\r\n`
  }

  touch({ key, exptime }: TouchRequest): string {
    return `touch ${key} ${exptime}\r\n`
  }

  count({ key, delta }: CountRequest): string {
    return `incr ${key} ${delta}\r\n`
  }

  isAnswerTo(): boolean {
    return true
  }

  readWord({ line }: TextFrame): string {
    return line
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

  readonly touchReplies = new Map([
    ['TOUCHED', true],
    ['NOT_FOUND', false],
  ])

  readCount({ line }: TextFrame): string | undefined {
    return line === 'NOT_FOUND' ? undefined : line
  }
}

/** What the answers to commands begin with that both dialects share, and that have no number. */
const LINES = { version: 'VERSION', flush: 'OK' } as const

/** The text protocol, in one of its dialects. */
export class TextProtocol implements Protocol {
  readonly #frames = new TextFrames()
  #dialect: Dialect
  /** The numbers of the next command and of the next answer. */
  #asked = 0
  #answered = 0
  /** Those without their whole answer. */
  readonly #multiGets: MultiGet[] = []
  /** Of an answer that goes on. */
  #stats = new Map<string, string>()

  constructor(dialect: Dialect) {
    this.#dialect = dialect
  }

  encode(requests: readonly Request[], out: Outbox): void {
    for (let i = 0; i < requests.length;) {
      const number = this.#asked
      const several = MultiGet.of(requests, i, number)
      if (several === undefined) this.#encode(requests[i] as Request, number, out)
      else {
        out.text(several.line)
        this.#multiGets.push(several)
      }
      const count = several?.requests.length ?? 1
      this.#asked = (number + count) % NUMBERS
      i += count
    }
  }

  #encode(request: Request, number: number, out: Outbox): void {
    switch (request.type) {
      case 'get':
        out.text(this.#dialect.get(request, number))
        break
      case 'store':
        out.text(this.#dialect.store(request, number))
        if (typeof request.value === 'string') out.text(request.value)
        else out.bytes(request.value)
        out.text('\r\n')
        break
      case 'remove':
        out.text(this.#dialect.remove(request, number))
        break
      case 'touch':
        out.text(this.#dialect.touch(request, number))
        break
      case 'count':
        out.text(this.#dialect.count(request, number))
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
    const counted = () => {
      this.#answered = (this.#answered + 1) % NUMBERS
      answered()
    }
    for (let frame = this.#frames.next(); frame !== undefined; frame = this.#frames.next()) {
      const request = next()
      if (request === undefined) throw unexpected(frame.line)
      const several = this.#multiGets[0]
      if (several?.first === this.#answered) this.#settleSeveral(several, frame, counted)
      else this.#settle(request, frame, counted)
    }
  }

  #settleSeveral(several: MultiGet, frame: TextFrame, answered: () => void): void {
    const isError = !frame.hasBody && isOfServer(frame.line)
    const error = isError ? replyError(frame.line) : undefined
    const items = error === undefined ? several.take(frame) : undefined
    if (error === undefined && items === undefined) return
    this.#multiGets.shift()
    several.requests.forEach(({ done }, i) => {
      answered()
      done(error, items?.[i])
    })
  }

  #settle(request: Request, frame: TextFrame, answered: () => void): void {
    if (!frame.hasBody && this.#settleFailed(request, frame.line, answered)) return
    const { type } = request
    if (type === 'stats') {
      this.#settleStats(request, frame, answered)
      return
    }
    if (type === 'version' || type === 'flush') {
      const { line } = frame
      settle(request, line.startsWith(LINES[type]) ? line : undefined, frame, answered)
      return
    }
    const dialect = this.#dialect
    if (!dialect.isAnswerTo(this.#answered, frame)) throw unexpected(frame.line)
    switch (type) {
      case 'get': {
        const item = dialect.readItem(request, frame)
        if (item === MORE) return
        answered()
        request.done(undefined, item)
        return
      }
      case 'store':
        settle(request, dialect.storeReplies.get(dialect.readWord(frame)), frame, answered)
        return
      case 'remove':
        settle(request, dialect.removeReplies.get(dialect.readWord(frame)), frame, answered)
        return
      case 'touch':
        settle(request, dialect.touchReplies.get(dialect.readWord(frame)), frame, answered)
        return
      case 'count': {
        const sum = dialect.readCount(frame)
        if (sum !== undefined && !/^\d{1,20}$/.test(sum)) throw unexpected(sum)
        const cas = frame.hasBody ? / c(\d+)/.exec(frame.line)?.[1] : undefined
        answered()
        request.done(undefined, sum === undefined ? undefined : BigInt(sum), cas)
        return
      }
      case 'auth':
        throw unexpected(frame.line)
    }
  }

  #settleStats(request: StatsRequest, { line }: TextFrame, answered: () => void): void {
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
  }

  /** @returns Whether the line is an error. */
  #settleFailed(request: Request, line: string, answered: () => void): boolean {
    const isServers = isOfServer(line)
    if (!isServers && line !== 'ERROR' && !line.startsWith('CLIENT_ERROR')) return false
    const error = replyError(line)
    if (request.type === 'store' && line.includes('too large')) {
      answered()
      request.done(undefined, 'too_large')
    } else if (request.type === 'count' && line.includes('non-numeric')) {
      answered()
      request.done(undefined, null)
    } else if (isServers || request.type === 'version') {
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

function isOfServer(line: string): boolean {
  return line.startsWith('SERVER_ERROR')
}

function replyError(line: string): MemcachedReplyError {
  return new MemcachedReplyError(line.slice(0, 200))
}
