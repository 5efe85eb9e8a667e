/**
 * The codes of all errors that this package throws itself. They are stable: compare codes, not classes.
 */
export type FragcacheErrorCode =
  | 'FRAGCACHE_INVALID_BACKEND'
  | 'FRAGCACHE_INVALID_KEY'
  | 'FRAGCACHE_KEY_NOT_FOUND'
  | 'FRAGCACHE_BACKEND_FAILED'
  | 'FRAGCACHE_VALUE_TOO_LARGE'
  | 'FRAGCACHE_PRODUCER_TIMEOUT'
  | 'FRAGCACHE_TAG'
  | 'FRAGCACHE_MISSING_PEER'

/**
 * The base class of all errors of this package.
 *
 * @remarks One process may load two copies of this package. `instanceof` can then fail, while `error.code` is
 *   still correct.
 */
export class FragcacheError extends Error {
  /** Written out, because minifiers shorten the names of classes. */
  static override readonly name: string = 'FragcacheError'
  readonly code: FragcacheErrorCode

  constructor(code: FragcacheErrorCode, message: string, options?: ErrorOptions) {
    super(message, options)
    this.code = code
  }

  override get name(): string {
    return this.constructor.name
  }
}

/**
 * A cache does not exist or is configured wrongly: an unknown alias, an unknown or contradictory setting, a
 * value that is not a cache.
 *
 * @see Django, `InvalidCacheBackendError`
 */
export class InvalidCacheBackendError extends FragcacheError {
  static override readonly name: string = 'InvalidCacheBackendError'
  constructor(message: string, options?: ErrorOptions) {
    super('FRAGCACHE_INVALID_BACKEND', message, options)
  }
}

/**
 * A key is invalid for the backend. Only Memcached is that strict; the others warn.
 *
 * @see Django, `InvalidCacheKey`
 */
export class InvalidCacheKeyError extends FragcacheError {
  static override readonly name: string = 'InvalidCacheKeyError'
  constructor(message: string, options?: ErrorOptions) {
    super('FRAGCACHE_INVALID_KEY', message, options)
  }
}

/** `incr`, `decr`, `incrVersion` or `decrVersion` was called for a key that does not exist. */
export class CacheKeyNotFoundError extends FragcacheError {
  static override readonly name: string = 'CacheKeyNotFoundError'
  readonly key: string

  constructor(key: string, operation: string) {
    super('FRAGCACHE_KEY_NOT_FOUND', `${operation}: the key ${JSON.stringify(key)} is not there`)
    this.key = key
  }
}

/** The details of the call that failed with a {@link CacheBackendError}. */
export interface CacheBackendErrorOptions extends ErrorOptions {
  readonly code?: 'FRAGCACHE_BACKEND_FAILED' | 'FRAGCACHE_VALUE_TOO_LARGE'
  readonly backend?: string
  readonly operation?: string
  readonly key?: string
}

/** The store behind a cache failed or did not answer in time; `cause` is the store's error. */
export class CacheBackendError extends FragcacheError {
  static override readonly name: string = 'CacheBackendError'
  readonly backend: string | undefined
  readonly operation: string | undefined
  readonly key: string | undefined

  constructor(message: string, options: CacheBackendErrorOptions = {}) {
    super(options.code ?? 'FRAGCACHE_BACKEND_FAILED', message, options)
    this.backend = options.backend
    this.operation = options.operation
    this.key = options.key
  }
}

/** A producer, or the body of a fragment, took longer than `producerTimeoutMs`. */
export class ProducerTimeoutError extends FragcacheError {
  static override readonly name: string = 'ProducerTimeoutError'
  readonly key: string
  /** The status that Express answers with if nothing handles the error. */
  readonly status = 504
  /** The limit, in milliseconds. */
  readonly limitMs: number

  /** @param what - What took too long, as it follows the name of the called function. */
  constructor(what: string, key: string, limitMs: number) {
    super(
      'FRAGCACHE_PRODUCER_TIMEOUT',
      `${what} for ${show(key)} took longer than producerTimeoutMs, ${limitMs} ms; raise that, or give staleIfError, with which an old value is served in its place`,
    )
    this.key = key
    this.limitMs = limitMs
  }
}

/** The position of a cache tag. */
export interface TagPosition {
  readonly template?: string | undefined
  /** The line, counted from 1. */
  readonly line?: number | undefined
  readonly fragment?: string | undefined
}

/** The same, or that it is no tag: a fragment rendered from code. */
export interface FragmentPosition extends TagPosition {
  readonly fromCode?: boolean
}

/** A cache tag has a syntax error or a value that it cannot use. */
export class CacheTagError extends FragcacheError {
  static override readonly name: string = 'CacheTagError'
  readonly template: string | undefined
  readonly line: number | undefined
  readonly fragment: string | undefined

  constructor(fault: string, position: TagPosition = {}, options?: ErrorOptions) {
    super('FRAGCACHE_TAG', describePosition(position) + fault, options)
    this.template = position.template
    this.line = position.line
    this.fragment = position.fragment
  }
}

function describePosition({ template, line, fragment, fromCode }: FragmentPosition): string {
  if (fromCode === true) {
    const place = template === undefined ? '' : ` (${template})`
    return `fragment ${JSON.stringify(fragment)}${place}: `
  }
  const where = []
  if (template !== undefined) where.push(template)
  if (line !== undefined) where.push(`line ${line}`)
  if (fragment !== undefined) where.push(`fragment ${JSON.stringify(fragment)}`)
  return where.length === 0 ? 'cache tag: ' : `cache tag (${where.join(', ')}): `
}

/** A `TypeError` that the caller earned, told apart from one in a backend's own code. */
export class MisuseError extends TypeError {
  override readonly name = 'TypeError'
}

/** Shows a faulty value in a message: short, on one line, never throwing. */
export function show(value: unknown): string {
  let text: string
  switch (typeof value) {
    case 'string':
      text = JSON.stringify(value)
      break
    case 'object':
      text = value === null ? 'null' : `an object${kindOf(value)}`
      break
    case 'function':
      text = 'a function'
      break
    case 'bigint':
      text = `${value}n`
      break
    default:
      text = String(value)
  }
  return text.length > 80 ? `${text.slice(0, 77)}...` : text
}

/** The same for where a server may be: the text before the last @ may be a secret, also if it is no URL. */
export function showAddress(value: unknown): string {
  return show(typeof value === 'string' ? value.replace(/^([a-z+]*:\/\/|)[^]*@/i, '$1***@') : value)
}

/** Of which class an object is. An object's own properties are data, and say nothing. */
function kindOf(value: object): string {
  try {
    const { name } = (Object.getPrototypeOf(value) as object).constructor as { name: unknown }
    return typeof name !== 'string' || name === '' || name === 'Object' ? '' : ` (${name})`
  } catch {
    return ''
  }
}
