import { headerText, isToken, type HeaderFields, type HeaderValue } from './header-values.js'
import { listMembers } from './lists.js'
import type { PageAddress } from './page-key.js'

/** A header as it is kept: one line, or several in their order. */
export type StoredHeader = readonly [name: string, value: string | readonly string[]]

/** A request header the response depends on, and what it said; `null` if it was absent. */
export type NominatedHeader = readonly [name: string, value: string | null]

/**
 * A place in the body that is filled on each request: how many bytes are before it, and what renders it: the
 * engine, the template as its loader names it, and the hole of that template.
 */
export type StoredHole = readonly [at: number, engine: string, template: string, hole: string]

/** What is kept of a response besides its body. */
export interface StoredHead {
  readonly status: number
  /** Left out: the usual one of the status. */
  readonly statusMessage?: string | undefined
  /** In the order sent, names as written. */
  readonly headers: readonly StoredHeader[]
  /** `Cache-Control` and `Expires` as they were before later caches were told how long the page is stored. */
  readonly said: readonly (readonly [name: string, value: StoredHeader[1] | null])[]
  /** Headers of layers around the cache that the handler has removed. */
  readonly removed: readonly string[]
  /** Milliseconds since the epoch. */
  readonly storedAtMs: number
  /** How old it was when it was stored. */
  readonly ageSeconds: number
  /** Milliseconds since the epoch; `null`: no limit. */
  readonly freshUntilMs: number | null
  /** How long after that it may be sent in place of a handler that fails. */
  readonly ifErrorSeconds: number
  /** How long after that it may answer while it is rendered again in the background. */
  readonly whileRevalidateSeconds: number
  /** Absolute, as sent. */
  readonly uri: string
  readonly language?: string | undefined
  readonly timeZone?: string | undefined
  /** The URI's generation when it was stored; if that is another one now, this page was invalidated. */
  readonly generation: string
  readonly nominated: readonly NominatedHeader[]
  /** It said `public`. */
  readonly isPublic: boolean
  /** It may answer any request with `Authorization`. */
  readonly isForAuthorized: boolean
  /** It is never used before the handler has confirmed it. */
  readonly mustValidate: boolean
  /** It does not forbid to use it when it is stale. */
  readonly mayBeStale: boolean
  /** No part of the application ran before the cache: the listener in front may answer with it. */
  readonly isWhole: boolean
  /** The codings in which its body is also stored, and the lengths, in the order stored. */
  readonly codings: readonly (readonly [coding: string, length: number])[]
  /** In the order of the body, which does not contain them; left out: there are none. */
  readonly holes?: readonly StoredHole[] | undefined
  /** Milliseconds it took to render; left out: it is not rendered again early. */
  readonly costMs?: number | undefined
}

/** A response as it is kept. */
export interface StoredResponse extends StoredHead {
  readonly body: Buffer
  /** The body in each of the `codings`. */
  readonly encoded: readonly Buffer[]
}

/*
 * As bytes: "FCR2", u32 length of the head, u32 length of the body, the head as JSON, the body, the
 * body in each coding. As a text, for a cache that keeps texts by reference and would copy bytes: the
 * same with eight hex digits for each length and one character per byte. The last character of the
 * magic is the version of the format.
 */
const MAGIC = 'FCR2'
const MAGIC_NUMBER = 0x32524346
const PREFIX_BYTES = 12
const PREFIX_CHARACTERS = 20

/** Turns a response into the bytes that are kept. */
export function encodeStoredResponse(head: StoredHead, body: readonly Uint8Array[]): Buffer {
  const json = Buffer.from(writeHead(head))
  const prefix = Buffer.allocUnsafe(PREFIX_BYTES)
  prefix.writeUInt32LE(MAGIC_NUMBER, 0)
  prefix.writeUInt32LE(json.length, 4)
  prefix.writeUInt32LE(lengthOf(body), 8)
  return Buffer.concat([prefix, json, ...body])
}

/** Turns a response into the text that is kept. */
export function encodeStoredText(head: StoredHead, body: readonly Uint8Array[]): string {
  const json = writeHead(head)
  const prefix = `${MAGIC}${toHex(json.length)}${toHex(lengthOf(body))}${json}`
  return prefix + Buffer.concat(body).toString('latin1')
}

function lengthOf(body: readonly Uint8Array[]): number {
  let length = 0
  for (const part of body) length += part.length
  return length
}

function toHex(length: number): string {
  return length.toString(16).padStart(8, '0')
}

function writeHead(head: StoredHead): string {
  return JSON.stringify([
    head.status,
    head.statusMessage ?? null,
    head.headers,
    head.removed,
    head.storedAtMs,
    head.ageSeconds,
    head.freshUntilMs,
    head.uri,
    head.language ?? null,
    head.timeZone ?? null,
    head.generation,
    head.nominated,
    flagsOf(head),
    head.ifErrorSeconds,
    head.whileRevalidateSeconds,
    head.codings,
    head.said,
    ...(head.holes === undefined && head.costMs === undefined ? [] : [head.holes ?? null]),
    ...(head.costMs === undefined ? [] : [head.costMs]),
  ])
}

const PUBLIC = 1
const FOR_AUTHORIZED = 2
const MUST_VALIDATE = 4
const MAY_BE_STALE = 8
const WHOLE = 16

function flagsOf(head: StoredHead): number {
  return (
    (head.isPublic ? PUBLIC : 0) |
    (head.isForAuthorized ? FOR_AUTHORIZED : 0) |
    (head.mustValidate ? MUST_VALIDATE : 0) |
    (head.mayBeStale ? MAY_BE_STALE : 0) |
    (head.isWhole ? WHOLE : 0)
  )
}

/**
 * Reads what was kept.
 *
 * @param value - Whatever the cache gave.
 * @param withCookies - One that sets cookies is taken.
 * @returns `undefined` if it is damaged, of another version or no response at all: a miss.
 */
export function decodeStoredResponse(
  value: unknown,
  withCookies = false,
): StoredResponse | undefined {
  const page = decode(value)
  const setsCookies = page?.headers.some(([name]) => name.toLowerCase() === COOKIE)
  return setsCookies === true && !withCookies ? undefined : page
}

function decode(value: unknown): StoredResponse | undefined {
  if (typeof value === 'string') return decodeText(value)
  if (!(value instanceof Uint8Array) || value.length < PREFIX_BYTES) return undefined
  const bytes = Buffer.isBuffer(value)
    ? value
    : Buffer.from(value.buffer, value.byteOffset, value.byteLength)
  if (bytes.readUInt32LE(0) !== MAGIC_NUMBER) return undefined
  const bodyStart = PREFIX_BYTES + bytes.readUInt32LE(4)
  if (bytes.length !== bodyStart + bytes.readUInt32LE(8)) return undefined
  const parts = parse(bytes.toString('utf8', PREFIX_BYTES, bodyStart))
  return readHead(parts, bytes.subarray(bodyStart))
}

/** How much of the bytes of a response lies before its body; `undefined`: they are none of a response. */
export function bytesBeforeBody(bytes: Buffer): number | undefined {
  if (bytes.length < PREFIX_BYTES || bytes.readUInt32LE(0) !== MAGIC_NUMBER) return undefined
  const end = PREFIX_BYTES + bytes.readUInt32LE(4)
  return end <= bytes.length ? end : undefined
}

function decodeText(text: string): StoredResponse | undefined {
  if (!text.startsWith(MAGIC)) return undefined
  const bodyStart = PREFIX_CHARACTERS + Number.parseInt(text.slice(4, 12), 16)
  if (text.length !== bodyStart + Number.parseInt(text.slice(12, 20), 16)) return undefined
  const body = Buffer.from(text.slice(bodyStart), 'latin1')
  return readHead(parse(text.slice(PREFIX_CHARACTERS, bodyStart)), body)
}

function parse(json: string): unknown {
  try {
    return JSON.parse(json)
  } catch {
    return undefined
  }
}

function readHead(parts: unknown, bodies: Buffer): StoredResponse | undefined {
  if (!Array.isArray(parts) || parts.length < 17 || parts.length > 19) return undefined
  const [status, statusMessage, headers, removed, storedAtMs, ageSeconds] = parts as unknown[]
  const [freshUntilMs, uri, language, timeZone] = parts.slice(6) as unknown[]
  const [generation, nominated, flags, ifErrorSeconds] = parts.slice(10) as unknown[]
  const [whileRevalidateSeconds, codings, said, holes, costMs] = parts.slice(14) as unknown[]
  if (!isStatus(status)) return undefined
  if (statusMessage !== null && !isHeaderText(statusMessage)) return undefined
  if (!isTextOrNull(language) || !isTextOrNull(timeZone)) return undefined
  if (!isListOf(headers, isStoredHeader) || !isListOf(removed, isText)) return undefined
  if (!isNumber(storedAtMs) || !isNumber(ageSeconds)) return undefined
  if (freshUntilMs !== null && !isNumber(freshUntilMs)) return undefined
  if (!isText(uri) || !isText(generation) || !isFlags(flags)) return undefined
  if (!isListOf(nominated, isNominatedHeader)) return undefined
  if (!isNumber(ifErrorSeconds) || !isNumber(whileRevalidateSeconds)) return undefined
  if (!isListOf(codings, isCoding) || !isListOf(said, isSaid)) return undefined
  const split = splitBodies(bodies, codings)
  if (split === undefined) return undefined
  const isWithout = parts.length === 17 || (parts.length === 19 && holes === null)
  if (!isWithout && !areHoles(holes, split)) return undefined
  if (parts.length === 19 && !isNumber(costMs)) return undefined
  return {
    status,
    statusMessage: statusMessage ?? undefined,
    headers,
    removed,
    storedAtMs,
    ageSeconds,
    freshUntilMs,
    uri,
    language: language ?? undefined,
    timeZone: timeZone ?? undefined,
    generation,
    nominated,
    isPublic: (flags & PUBLIC) !== 0,
    isForAuthorized: (flags & FOR_AUTHORIZED) !== 0,
    mustValidate: (flags & MUST_VALIDATE) !== 0,
    mayBeStale: (flags & MAY_BE_STALE) !== 0,
    isWhole: (flags & WHOLE) !== 0,
    ifErrorSeconds,
    whileRevalidateSeconds,
    codings,
    said,
    holes: isWithout ? undefined : (holes as readonly StoredHole[]),
    costMs: costMs as number | undefined,
    ...split,
  }
}

function splitBodies(
  bodies: Buffer,
  codings: StoredHead['codings'],
): Pick<StoredResponse, 'body' | 'encoded'> | undefined {
  let end = bodies.length
  for (const [, length] of codings) end -= length
  if (end < 0) return undefined
  const body = bodies.subarray(0, end)
  const encoded = codings.map(([, length]) => bodies.subarray(end, (end += length)))
  return { body, encoded }
}

/** Whether these are positions in this body, in order. A body with holes has no other coding. */
function areHoles(
  value: unknown,
  { body, encoded }: Pick<StoredResponse, 'body' | 'encoded'>,
): value is readonly StoredHole[] {
  if (!isListOf(value, isHole) || value.length === 0 || encoded.length > 0) return false
  return value.every(([at], i) => at <= body.length && at >= (value[i - 1]?.[0] ?? 0))
}

function isHole(value: unknown): value is StoredHole {
  if (!Array.isArray(value) || value.length !== 4) return false
  const [at, ...ref] = value as unknown[]
  return Number.isSafeInteger(at) && (at as number) >= 0 && ref.every(isText)
}

function isListOf<T>(value: unknown, isPart: (part: unknown) => part is T): value is readonly T[] {
  return Array.isArray(value) && value.every(isPart)
}

function isText(value: unknown): value is string {
  return typeof value === 'string'
}

function isTextOrNull(value: unknown): value is string | null {
  return value === null || typeof value === 'string'
}

function isNumber(value: unknown): value is number {
  return typeof value === 'number'
}

function isFlags(value: unknown): value is number {
  return Number.isInteger(value) && (value as number) >= 0 && (value as number) <= 31
}

function isStatus(value: unknown): value is number {
  return Number.isInteger(value) && (value as number) >= 200 && (value as number) <= 599
}

/** What `res.setHeader` takes, so that replaying never throws. */
function isHeaderText(value: unknown): value is string {
  return typeof value === 'string' && !/[^\t\x20-\x7e\x80-\xff]/.test(value)
}

function isStoredHeader(value: unknown): value is StoredHeader {
  if (!Array.isArray(value) || value.length !== 2) return false
  const [name, content] = value as unknown[]
  if (typeof name !== 'string' || !isToken(name)) return false
  if (NEVER_REPLAYED.has(name.toLowerCase())) return false
  return isHeaderText(content) || isListOf(content, isHeaderText)
}

function isSaid(value: unknown): value is StoredHead['said'][number] {
  if (!Array.isArray(value) || value.length !== 2) return false
  const [name, content] = value as unknown[]
  return typeof name === 'string' && (content === null || isStoredHeader([name, content]))
}

function isCoding(value: unknown): value is readonly [string, number] {
  if (!Array.isArray(value) || value.length !== 2) return false
  const [coding, length] = value as unknown[]
  return (
    isText(coding) && isToken(coding) && Number.isSafeInteger(length) && (length as number) >= 0
  )
}

function isNominatedHeader(value: unknown): value is NominatedHeader {
  return Array.isArray(value) && value.length === 2 && isText(value[0]) && isTextOrNull(value[1])
}

/**
 * Headers that belong to one connection or one user, or are set for each response.
 *
 * @see RFC 9110 §7.6.1, RFC 9111 §3.1
 */
const NEVER_REPLAYED: ReadonlySet<string> = new Set([
  'connection',
  'keep-alive',
  'proxy-connection',
  'te',
  'trailer',
  'transfer-encoding',
  'upgrade',
  'proxy-authenticate',
  'proxy-authentication-info',
  'proxy-authorization',
  'age',
])

/** Stored in RFC mode alone. @see RFC 9111 §7.3 */
const COOKIE = 'set-cookie'

/**
 * Tells which headers of a response are not stored.
 *
 * @param headers - The response's, for what `Connection` names.
 * @param withCookies - `Set-Cookie` is kept too.
 */
export function neverReplayed(
  headers: HeaderFields,
  withCookies = false,
): (name: string) => boolean {
  const isNever = (name: string) => NEVER_REPLAYED.has(name) || (!withCookies && name === COOKIE)
  const connection = headerText(headers, 'connection')
  if (connection === undefined) return isNever
  const named = new Set(listMembers(connection).map((name) => name.toLowerCase()))
  return (name) => isNever(name) || named.has(name)
}

/** The values that a request has for a list of headers. */
export function nominate(
  headerList: readonly string[],
  headers: HeaderFields,
): readonly NominatedHeader[] {
  return headerList.map((name) => [name, headerText(headers, name) ?? null] as const)
}

/**
 * Whether a stored response was made for such a request.
 *
 * @remarks The key says so already, unless two processes learned different header lists at once;
 *   then this tells the variants apart.
 * @see RFC 9111 §4.1
 */
export function answersRequest(
  stored: StoredHead,
  address: PageAddress,
  headers: HeaderFields,
): boolean {
  if (stored.uri !== address.uri || stored.language !== address.language) return false
  if (stored.timeZone !== address.timeZone) return false
  for (const [name, value] of stored.nominated) {
    if ((headerText(headers, name) ?? null) !== value) return false
  }
  return true
}

/** Whole seconds since the response was made. @see RFC 9111 §4.2.3, `current_age` */
export function currentAgeSeconds(stored: StoredHead, nowMs: number): number {
  // Though the clock was set back, its age is at least what it was when it was stored.
  const residentSeconds = Math.max(0, nowMs - stored.storedAtMs) / 1000
  return Math.floor(stored.ageSeconds + residentSeconds)
}

/** The headers of a stored response, by lower-case name. */
export function fieldsOf(page: { readonly headers: readonly StoredHeader[] }): HeaderFields {
  const headers = Object.create(null) as Record<string, HeaderValue>
  for (const [name, value] of page.headers) headers[name.toLowerCase()] = value
  return headers
}
