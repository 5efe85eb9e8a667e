import { STATUS_CODES } from 'node:http'
import { readParts } from '../../src/fragment/hole-parts.js'
import { decodeStoredResponse, type StoredResponse } from '../../src/http/stored-response.js'
import type { Entry } from './api.js'

/** A preview is not longer, in UTF-16 code units. */
export const MAX_PREVIEW = 4096

/** The beginning of a value as text. */
export type Preview = Pick<Entry, 'preview' | 'previewKind' | 'isTruncated'>

/** Shows the beginning of a value: a page, a fragment with its holes marked, a text, bytes or JSON. */
export function previewOf(value: unknown): Preview {
  const page = decodeStoredResponse(value, true)
  if (page !== undefined) return cut(pageText(page), 'page')
  if (typeof value === 'string') return cut(value, 'text')
  if (value instanceof Uint8Array) return bytesPreview(value)
  const parts = readParts(value)
  if (parts !== undefined) {
    const text = new Bounded()
    for (const part of parts) text.add(typeof part === 'string' ? part : holeMark(part.t, part.h))
    return cut(text.text, 'text')
  }
  const text = new Bounded()
  writeJson(text, value, 0)
  return cut(text.text, 'json')
}

function cut(text: string, previewKind: Entry['previewKind']): Preview {
  if (text.length <= MAX_PREVIEW) return { preview: text, previewKind, isTruncated: false }
  // Half a character would be shown as none.
  const isHigh = /[\uD800-\uDBFF]/.test(text[MAX_PREVIEW - 1] ?? '')
  const preview = text.slice(0, isHigh ? MAX_PREVIEW - 1 : MAX_PREVIEW)
  return { preview, previewKind, isTruncated: true }
}

/** Collects a little more than a preview, whatever it is given. */
class Bounded {
  text = ''

  get isFull(): boolean {
    return this.text.length > MAX_PREVIEW
  }

  add(part: string): void {
    const left = MAX_PREVIEW + 1 - this.text.length
    if (left > 0) this.text += part.length > left ? part.slice(0, left) : part
  }
}

function holeMark(template: string, hole: string): string {
  return `⟦hole of ${template}, ${hole}⟧`
}

/** Headers with per-user values. */
const HIDDEN = new Set(['set-cookie', 'set-cookie2', 'authorization', 'www-authenticate'])

/** A stored response as it would be sent, as far as it is a text. */
function pageText(page: StoredResponse): string {
  const text = new Bounded()
  text.add(`${page.status} ${page.statusMessage ?? STATUS_CODES[page.status] ?? ''}`.trimEnd())
  for (const [name, value] of page.headers) {
    const lines = typeof value === 'string' ? [value] : value
    for (const line of lines) {
      text.add(`\n${name}: ${HIDDEN.has(name.toLowerCase()) ? '(hidden)' : line}`)
    }
  }
  text.add('\n\n')
  const type = page.headers.find(([name]) => name.toLowerCase() === 'content-type')?.[1]
  const coding = page.headers.find(([name]) => name.toLowerCase() === 'content-encoding')?.[1]
  if (coding !== undefined || !isText(String(type ?? ''))) {
    text.add(`(${page.body.length} bytes of ${String(type ?? 'an unknown kind')})`)
    return text.text
  }
  let at = 0
  for (const [end, , template, hole] of page.holes ?? []) {
    if (text.isFull) break
    text.add(beginning(page.body.subarray(at, end)))
    text.add(holeMark(template, hole))
    at = end
  }
  text.add(beginning(page.body.subarray(at)))
  return text.text
}

function isText(type: string): boolean {
  return /^\s*(?:text\/|application\/(?:[\w.+-]*\+)?(?:json|xml|javascript)\b|image\/svg)/i.test(
    type,
  )
}

/** No more than a preview of it can be seen. */
function beginning(bytes: Uint8Array): string {
  return Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength).toString(
    'utf8',
    0,
    Math.min(bytes.byteLength, 4 * MAX_PREVIEW),
  )
}

/** Bytes that are a text are shown as one, others as hex digits. */
function bytesPreview(bytes: Uint8Array): Preview {
  const start = bytes.subarray(0, 4 * MAX_PREVIEW)
  try {
    const text = new TextDecoder('utf-8', { fatal: true }).decode(start, {
      stream: start.length < bytes.length,
    })
    // eslint-disable-next-line no-control-regex -- what is a text has no others
    if (!/[\x00-\x08\x0e-\x1f]/.test(text)) {
      const preview = cut(text, 'binary')
      return { ...preview, isTruncated: preview.isTruncated || start.length < bytes.length }
    }
  } catch {
    // It is none.
  }
  const hex = Buffer.from(bytes.subarray(0, 1024)).toString('hex')
  const preview = (hex.match(/.{1,64}/g) ?? []).map((line) => line.replace(/(..)(?=.)/g, '$1 '))
  return {
    preview: preview.join('\n').slice(0, MAX_PREVIEW),
    previewKind: 'binary',
    isTruncated: bytes.length > 1024,
  }
}

const MAX_DEPTH = 20

/** JSON, where there is none for a value something close to it; it ends where a preview is full. */
function writeJson(text: Bounded, value: unknown, depth: number): void {
  if (text.isFull) return
  if (typeof value !== 'object' || value === null) {
    text.add(simple(value))
    return
  }
  if (value instanceof Date) return text.add(JSON.stringify(value))
  if (value instanceof Uint8Array) return text.add(`"(${value.length} bytes)"`)
  if (depth >= MAX_DEPTH) return text.add('"…"')
  const indent = `\n${'  '.repeat(depth + 1)}`
  const isList = Array.isArray(value) || value instanceof Set
  let isFirst = true
  text.add(isList ? '[' : '{')
  for (const [name, part] of entriesOf(value)) {
    if (text.isFull) return
    text.add(`${isFirst ? '' : ','}${indent}`)
    if (!isList) text.add(`${typeof name === 'string' ? jsonText(name) : simple(name)}: `)
    writeJson(text, part, depth + 1)
    isFirst = false
  }
  text.add(`${isFirst ? '' : `\n${'  '.repeat(depth)}`}${isList ? ']' : '}'}`)
}

function* entriesOf(value: object): Generator<readonly [unknown, unknown]> {
  if (value instanceof Map || Array.isArray(value)) yield* value.entries()
  else if (value instanceof Set) for (const part of value) yield ['', part]
  else for (const name of Object.keys(value)) yield [name, (value as Record<string, unknown>)[name]]
}

function simple(value: unknown): string {
  if (typeof value === 'string') return jsonText(value)
  if (typeof value === 'object' && value !== null) return '"(an object)"'
  return typeof value === 'bigint' ? `${value}n` : String(value)
}

function jsonText(text: string): string {
  return JSON.stringify(text.length > MAX_PREVIEW ? text.slice(0, MAX_PREVIEW + 1) : text)
}
