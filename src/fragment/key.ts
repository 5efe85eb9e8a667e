import { checkKnown } from '../check-known.js'
import { show } from '../errors.js'
import { nodeCrypto } from '../node-crypto.js'

/** Options of {@link makeTemplateFragmentKey}. */
export interface FragmentKeyOptions {
  /**
   * `'django<6.1'`: the bytes of Django before 6.1, where adjacent values can be confused (`['a:', 'b']` and
   * `['a', ':b']` share a key). Use it only to share entries with such a site.
   */
  readonly compat?: 'django<6.1' | undefined
}

/**
 * Returns the key of a template fragment, so that you can delete it from code.
 *
 * @param name - The fragment's name as in the template, without quotes.
 * @param varyOn - The values it varies on, in the template's order.
 * @returns `template.cache.NAME.MD5`, Django 6.1's bytes.
 * @throws TypeError: a value has no text that distinguishes it from others (an object without its own
 *   `toString`, a function, a symbol), or contains a lone surrogate.
 * @see Django, `django.core.cache.utils.make_template_fragment_key`
 */
export function makeTemplateFragmentKey(
  name: string,
  varyOn?: Iterable<unknown> | null,
  options: FragmentKeyOptions = {},
): string {
  checkName(name)
  checkKnown('makeTemplateFragmentKey', options, ['compat'])
  const { compat } = options
  if (compat !== undefined && (compat as string) !== 'django<6.1') {
    throw new TypeError(`compat: ${show(compat)} is unknown; the only value is "django<6.1"`)
  }
  return fragmentKey(name, textsOf(varyOn ?? []), compat !== undefined)
}

/** @throws TypeError: no text, empty, or not well-formed. */
export function checkName(name: unknown): asserts name is string {
  if (typeof name === 'string' && name !== '' && name.isWellFormed()) return
  throw new TypeError(
    `name: ${name === '' ? 'the empty string' : show(name)} is not a fragment name; give a well-formed string of at least one character`,
  )
}

function textsOf(varyOn: unknown): string[] {
  if (typeof varyOn !== 'string' && !isIterable(varyOn)) {
    throw new TypeError(`varyOn: ${show(varyOn)} is not a list of values; give an array`)
  }
  return Array.from(varyOn, varyOnText)
}

function isIterable(value: unknown): value is Iterable<unknown> {
  return typeof value === 'object' && value !== null && Symbol.iterator in value
}

/** The key of a name and the texts of its vary-on values. */
export function fragmentKey(name: string, texts: readonly string[], colliding = false): string {
  let bytes = ''
  for (const text of texts) {
    if (!text.isWellFormed()) {
      throw new TypeError(
        `varyOn: ${show(text)} holds a lone surrogate, which has no UTF-8 form; clean it with toWellFormed()`,
      )
    }
    bytes += colliding ? `${text}:` : `${Buffer.byteLength(text)}:${text},`
  }
  return `template.cache.${name}.${nodeCrypto().hash('md5', bytes)}`
}

/**
 * The text of a vary-on value, as Python's `str` spells it where both languages have the value.
 *
 * @returns `undefined` gives the empty text, as an undefined variable in a Django template.
 * @throws TypeError: the value has no text that would tell it from others.
 */
export function varyOnText(value: unknown): string {
  switch (typeof value) {
    case 'string':
      return value
    case 'number':
      return numberText(value)
    case 'boolean':
      return value ? 'True' : 'False'
    case 'bigint':
      return value.toString()
    case 'undefined':
      return ''
    case 'object':
      return value === null ? 'None' : objectText(value)
    case 'function':
    case 'symbol':
      throw new TypeError(`varyOn: ${show(value)} has no text; give a value such as its id`)
  }
}

/** As Python spells a float or, for a whole number, an int. */
function numberText(value: number): string {
  if (Number.isInteger(value)) {
    return Math.abs(value) < 1e21 ? String(value) : BigInt(value).toString()
  }
  if (Number.isNaN(value)) return 'nan'
  if (!Number.isFinite(value)) return value > 0 ? 'inf' : '-inf'
  // Python writes an exponent of two digits, and below 1e-4; JavaScript only below 1e-6.
  if (Math.abs(value) >= 1e-4) return String(value)
  return value.toExponential().replace(/e-(\d)$/, 'e-0$1')
}

function objectText(value: object): string {
  if (value instanceof Date) return dateText(value)
  if (Array.isArray(value) || (isPlain(value) && !hasOwnText(value))) {
    return canonicalJson(value, [])
  }
  return ownText(value)
}

function dateText(value: Date): string {
  if (!Number.isNaN(value.getTime())) return value.toISOString()
  throw new TypeError('varyOn: an invalid date has no text')
}

function isPlain(value: object): boolean {
  const prototype: unknown = Object.getPrototypeOf(value)
  return prototype === null || Object.getPrototypeOf(prototype) === null
}

function hasOwnText(value: object): boolean {
  return Object.hasOwn(value, 'toString') && typeof value.toString === 'function'
}

function ownText(value: object): string {
  // `[object Map]` and its kin tell nothing of the value and would mix up users.
  const { toString } = value as { toString?: unknown }
  if (typeof toString === 'function' && toString !== Object.prototype.toString) {
    const text: unknown = toString.call(value)
    if (typeof text === 'string' && !text.startsWith('[object ')) return text
  }
  throw new TypeError(
    `varyOn: ${show(value)} has no text of its own; give a value such as its id, or an object with a toString`,
  )
}

/** JSON with sorted keys; dates and objects with a text of their own as JSON strings. */
function canonicalJson(value: unknown, parents: readonly object[]): string {
  if (value === null || value === undefined) return 'null'
  switch (typeof value) {
    case 'string':
      return JSON.stringify(value)
    case 'boolean':
      return String(value)
    case 'number':
    case 'bigint':
      return varyOnText(value)
    case 'object':
      return canonicalObject(value, parents)
    default:
      return varyOnText(value)
  }
}

function canonicalObject(value: object, parents: readonly object[]): string {
  if (parents.includes(value)) {
    throw new TypeError('varyOn: an object that contains itself has no text; give its id')
  }
  const within = [...parents, value]
  if (Array.isArray(value)) {
    return `[${(value as unknown[]).map((part) => canonicalJson(part, within)).join(',')}]`
  }
  if (value instanceof Date) return JSON.stringify(dateText(value))
  if (!isPlain(value) || hasOwnText(value)) return JSON.stringify(ownText(value))
  const record = value as Record<string, unknown>
  const parts = Object.keys(record)
    .filter((key) => record[key] !== undefined)
    .sort()
    .map((key) => `${JSON.stringify(key)}:${canonicalJson(record[key], within)}`)
  return `{${parts.join(',')}}`
}
