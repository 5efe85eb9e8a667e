import { MemcachedReplyError } from './faults.js'
import type { Outbox } from './outbox.js'
import type { Protocol } from './protocol.js'
import type { Item, Request, StatsRequest } from './request.js'

const REQUEST = 0x80
const REPLY = 0x81
const HEADER_LENGTH = 24

const GET = 0x00
const SET = 0x01
const ADD = 0x02
const DELETE = 0x04
const INCREMENT = 0x05
const FLUSH = 0x08
const VERSION = 0x0b
const STAT = 0x10
const TOUCH = 0x1c
const AUTH = 0x21

const OK = 0x00
const NOT_FOUND = 0x01
const EXISTS = 0x02
const TOO_LARGE = 0x03
const NOT_STORED = 0x05
const NO_NUMBER = 0x06
const AUTH_REFUSED = 0x20
const UNKNOWN_COMMAND = 0x81

/** Instead of making a counter that is not there, say so. */
const MAKE_NONE = 0xffffffff

/** The largest value a server can be set up for, with what surrounds it. */
const MAX_BODY = 2 ** 30 + 2 ** 16

const NOTHING = Buffer.alloc(0)

interface Reply {
  readonly opcode: number
  readonly opaque: number
  readonly status: number
  readonly cas: bigint
  readonly extras: Buffer
  readonly key: Buffer
  readonly value: Buffer
}

/** The binary protocol. Of all that speak it, only the servers with SASL still need it. */
export class BinaryProtocol implements Protocol {
  readonly #frames = new BinaryFrames()
  #sent = 0
  #answered = 0
  /** Of an answer that goes on. */
  #stats = new Map<string, string>()

  encode(requests: readonly Request[], out: Outbox): void {
    for (const request of requests) this.#encode(request, out)
  }

  #encode(request: Request, out: Outbox): void {
    switch (request.type) {
      case 'get':
        this.#command(out, GET, request.key)
        break
      case 'store': {
        const extras = Buffer.allocUnsafe(8)
        extras.writeUInt32BE(request.flags, 0)
        extras.writeUInt32BE(request.exptime, 4)
        const opcode = request.mode === 'add' ? ADD : SET
        const cas = request.mode === 'cas' ? BigInt(request.cas) : 0n
        const { value } = request
        const bytes = typeof value === 'string' ? Buffer.from(value, 'latin1') : value
        this.#command(out, opcode, request.key, extras, bytes, cas)
        break
      }
      case 'remove':
        this.#command(out, DELETE, request.key)
        break
      case 'touch': {
        const extras = Buffer.allocUnsafe(4)
        extras.writeUInt32BE(request.exptime, 0)
        this.#command(out, TOUCH, request.key, extras)
        break
      }
      case 'count': {
        const extras = Buffer.alloc(20)
        extras.writeBigUInt64BE(request.delta, 0)
        extras.writeUInt32BE(MAKE_NONE, 16)
        this.#command(out, INCREMENT, request.key, extras)
        break
      }
      case 'flush':
        this.#command(out, FLUSH, '')
        break
      case 'version':
        this.#command(out, VERSION, '')
        break
      case 'stats':
        this.#command(out, STAT, request.subject)
        break
      case 'auth': {
        const words = Buffer.from(`\0${request.username}\0${request.password}`)
        this.#command(out, AUTH, 'PLAIN', NOTHING, words)
      }
    }
  }

  /** @param key - One character per byte. */
  #command(
    out: Outbox,
    opcode: number,
    key: string,
    extras: Uint8Array = NOTHING,
    value: Uint8Array = NOTHING,
    cas = 0n,
  ): void {
    const header = Buffer.alloc(HEADER_LENGTH)
    header[0] = REQUEST
    header[1] = opcode
    header.writeUInt16BE(key.length, 2)
    header[4] = extras.length
    header.writeUInt32BE(extras.length + key.length + value.length, 8)
    header.writeUInt32BE(this.#sent, 12)
    this.#sent = (this.#sent + 1) % 2 ** 32
    header.writeBigUInt64BE(cas, 16)
    out.bytes(header)
    out.bytes(extras)
    out.text(key)
    out.bytes(value)
  }

  receive(chunk: Buffer, next: () => Request | undefined, answered: () => void): void {
    this.#frames.push(chunk)
    for (let reply = this.#frames.next(); reply !== undefined; reply = this.#frames.next()) {
      const request = next()
      if (request === undefined || reply.opaque !== this.#answered) {
        throw new Error('an answer to nothing that was asked')
      }
      if (reply.opcode !== opcodeOf(request)) throw new Error('an answer to another command')
      if (request.type === 'stats' && reply.status === OK && reply.key.length > 0) {
        this.#stats.set(reply.key.toString('latin1'), reply.value.toString('latin1'))
        continue
      }
      this.#answered = (this.#answered + 1) % 2 ** 32
      if (request.type === 'stats') {
        const stats = this.#stats
        this.#stats = new Map()
        answered()
        request.done(reply.status === OK ? undefined : toError(reply), stats)
        continue
      }
      settle(request, reply, answered)
    }
  }
}

function opcodeOf(request: Request): number {
  switch (request.type) {
    case 'get':
      return GET
    case 'store':
      return request.mode === 'add' ? ADD : SET
    case 'remove':
      return DELETE
    case 'touch':
      return TOUCH
    case 'count':
      return INCREMENT
    case 'flush':
      return FLUSH
    case 'version':
      return VERSION
    case 'stats':
      return STAT
    case 'auth':
      return AUTH
  }
}

function settle(request: Exclude<Request, StatsRequest>, reply: Reply, answered: () => void): void {
  const { status } = reply
  // Before anything is settled: what is read wrongly ends the connection.
  const item = request.type === 'get' && status === OK ? readItem(reply) : undefined
  const sum = request.type === 'count' && status === OK ? readSum(reply) : undefined
  answered()
  const error = status === OK ? undefined : toError(reply)
  switch (request.type) {
    case 'get':
      request.done(status === NOT_FOUND ? undefined : error, item)
      return
    case 'store':
      if (status === OK) request.done(undefined, 'stored')
      else if (status === NOT_FOUND) request.done(undefined, 'missing')
      else if (status === EXISTS || status === NOT_STORED) request.done(undefined, 'refused')
      else if (status === TOO_LARGE) request.done(undefined, 'too_large')
      else request.done(error, undefined)
      return
    case 'remove':
    case 'touch':
      request.done(status === NOT_FOUND ? undefined : error, status === OK)
      return
    case 'count':
      if (status === NO_NUMBER) request.done(undefined, null)
      else request.done(status === NOT_FOUND ? undefined : error, sum, String(reply.cas))
      return
    default:
      request.done(error, reply.value.toString('latin1'))
  }
}

function readItem({ extras, value, cas }: Reply): Item {
  if (extras.length < 4) throw new Error('an entry without flags')
  return { value, flags: extras.readUInt32BE(0), cas: String(cas), secondsLeft: undefined }
}

function readSum({ value }: Reply): bigint {
  if (value.length !== 8) throw new Error('a sum that is not a number of 64 bits')
  return value.readBigUInt64BE(0)
}

function toError({ status, opcode, value }: Reply): MemcachedReplyError {
  const said = value.toString('latin1', 0, 200)
  if (opcode === AUTH && status === UNKNOWN_COMMAND) {
    return new MemcachedReplyError(
      'the server knows no authentication; leave out options.username and options.password, or start it with -S',
    )
  }
  if (status === AUTH_REFUSED) {
    return new MemcachedReplyError(
      opcode === AUTH
        ? 'the server refuses options.username and options.password'
        : `the server wants authentication (${said})`,
    )
  }
  return new MemcachedReplyError(said === '' ? `status 0x${status.toString(16)}` : said)
}

/** Cuts what a server sends into replies. */
export class BinaryFrames {
  #parts: Buffer[] = []
  #length = 0
  /** Bytes the next reply has in all, as far as that is known. */
  #needed = HEADER_LENGTH

  push(chunk: Buffer): void {
    this.#parts.push(chunk)
    this.#length += chunk.length
  }

  /**
   * The next reply that has arrived in full.
   *
   * @throws Error: the bytes are not those of the protocol.
   */
  next(): Reply | undefined {
    if (this.#length < this.#needed) return undefined
    let buffer = this.#join()
    const bodyLength = buffer.readUInt32BE(8)
    if (buffer[0] !== REPLY || bodyLength > MAX_BODY) throw new Error('damaged answer')
    this.#needed = HEADER_LENGTH + bodyLength
    if (buffer.length < this.#needed) return undefined
    const extrasEnd = HEADER_LENGTH + (buffer[4] ?? 0)
    const valueStart = extrasEnd + buffer.readUInt16BE(2)
    if (valueStart > this.#needed) throw new Error('damaged answer')
    const end = this.#needed
    const reply: Reply = {
      opcode: buffer[1] ?? 0,
      opaque: buffer.readUInt32BE(12),
      status: buffer.readUInt16BE(6),
      cas: buffer.readBigUInt64BE(16),
      extras: buffer.subarray(HEADER_LENGTH, extrasEnd),
      key: buffer.subarray(extrasEnd, valueStart),
      value: buffer.subarray(valueStart, end),
    }
    buffer = buffer.subarray(end)
    this.#parts = buffer.length === 0 ? [] : [buffer]
    this.#length = buffer.length
    this.#needed = HEADER_LENGTH
    return reply
  }

  #join(): Buffer {
    const [first] = this.#parts
    if (this.#parts.length === 1 && first !== undefined) return first
    const joined = Buffer.concat(this.#parts)
    this.#parts = [joined]
    return joined
  }
}
