import { readFileSync } from 'node:fs'
import type { Cache, CacheSettings, Version } from '../../src/index.js'
import { inProject } from './samples.js'
import { coreOf } from '../../src/backend/core.js'

/** A value as the fixtures write it: JSON, with marks for what JSON lacks. */
export type GoldenValue = unknown

/** One call of Django's API. */
export interface GoldenStep {
  readonly op: string
  readonly args: readonly GoldenValue[]
  readonly kwargs?: Readonly<Record<string, GoldenValue>>
  /** Which cache, if not the first. */
  readonly on?: string
}

/** What a call gave. */
export interface GoldenResult {
  readonly value?: GoldenValue
  readonly raises?: { readonly error: string; readonly about: string }
  readonly warnings?: readonly string[]
}

/** Django's `CACHES` entry. */
export type GoldenSettings = Readonly<Record<string, unknown>>

export interface BackendCase {
  readonly id: string
  readonly group: string
  readonly title: string
  readonly params: GoldenSettings
  readonly handles: Readonly<Record<string, GoldenSettings>>
  readonly steps: readonly GoldenStep[]
  readonly results: Readonly<Record<string, readonly GoldenResult[]>>
}

/** Reads a file of `fixtures/django`. Whole numbers that a double cannot hold become bigints. */
export function readGolden<T>(name: string): readonly T[] {
  const text = readFileSync(inProject(`fixtures/django/${name}`), 'utf8')
  const exact = text.replace(/(?<=[:[,] ?)-?\d{16,}(?= ?[,\]}])/g, '{"$int": "$&"}')
  return (JSON.parse(exact) as { readonly cases: readonly T[] }).cases
}

/** What a step of ours did, in the words the fixtures are translated to. */
export type Outcome = { readonly value: unknown } | { readonly raises: string }

/** The outcome Django's result stands for. */
export function expectedOutcome(result: GoldenResult): Outcome {
  if (result.raises === undefined) return { value: toValue(result.value) }
  const { error, about } = result.raises
  if (error === 'ValueError' && about === 'key not found') {
    return { raises: 'FRAGCACHE_KEY_NOT_FOUND' }
  }
  return { raises: error === 'RuntimeError' ? about : error }
}

/** Python's values as the JavaScript ones a port of the calling code would use. */
export function toValue(golden: GoldenValue): unknown {
  if (Array.isArray(golden)) return golden.map(toValue)
  if (typeof golden !== 'object' || golden === null) return golden
  const [mark, content] = Object.entries(golden)[0] ?? ['', undefined]
  switch (mark) {
    case '$int':
      return BigInt(content as string)
    case '$bytes':
      return Buffer.from(content as string, 'hex')
    case '$tuple':
      return toValue(content)
    case '$set':
      return new Set((content as unknown[]).map(toValue))
    case '$datetime':
      return new Date(`${String(content)}Z`)
    case '$raises':
      return () => {
        throw new Error(content as string)
      }
    case '$dict':
      return (content as [unknown, unknown][]).map(([key, value]) => [key, toValue(value)])
    default:
      return Object.fromEntries(
        Object.entries(golden).map(([key, value]) => [key, toValue(value)] as const),
      )
  }
}

/** Django's settings under our names. */
export function toSettings(golden: GoldenSettings): CacheSettings {
  const { TIMEOUT, KEY_PREFIX, VERSION, OPTIONS, ...rest } = golden
  if (Object.keys(rest).length > 0) throw new Error(`unknown settings ${Object.keys(rest).join()}`)
  const options = OPTIONS as Readonly<Record<string, number>> | undefined
  return {
    ...(TIMEOUT !== undefined && { timeout: TIMEOUT as number }),
    ...(KEY_PREFIX !== undefined && { keyPrefix: KEY_PREFIX as string }),
    ...(VERSION !== undefined && { version: VERSION as number }),
    ...(options !== undefined && {
      options: { maxEntries: options['MAX_ENTRIES'], cullFrequency: options['CULL_FREQUENCY'] },
    }),
  }
}

/** Where a case is replayed: caches over one empty store, and a clock that stands still. */
export interface Stage {
  readonly open: (settings: CacheSettings) => Cache
  readonly advance: (seconds: number) => void | Promise<void>
}

/**
 * Replays the steps of a case.
 *
 * @param differs - Steps whose faults would stop the case are never stopped: each gives its outcome.
 */
export async function replay(golden: BackendCase, { open, advance }: Stage): Promise<Outcome[]> {
  const first = open(toSettings(golden.params))
  const caches = new Map<string | undefined, Cache>([[undefined, first]])
  for (const [name, settings] of Object.entries(golden.handles)) {
    caches.set(name, open(toSettings({ ...golden.params, ...settings })))
  }
  const keys = keysOf(golden)
  const outcomes: Outcome[] = []
  for (const step of golden.steps) {
    if (step.op === 'sleep') {
      await advance(step.args[0] as number)
      outcomes.push({ value: null })
      continue
    }
    const cache = caches.get(step.on)
    if (cache === undefined) throw new Error(`${golden.id}: no cache ${String(step.on)}`)
    outcomes.push(await outcomeOf(() => call(cache, step, keys)))
  }
  for (const cache of caches.values()) await cache.close()
  return outcomes
}

function keysOf({ steps }: BackendCase): string[] {
  const keys = steps.flatMap(({ args: [key] }) => (typeof key === 'string' ? [key] : []))
  return [...new Set(keys)]
}

async function outcomeOf(action: () => Promise<unknown>): Promise<Outcome> {
  try {
    return { value: (await action()) ?? null }
  } catch (error) {
    const { code, name, message } = error as Error & { readonly code?: string }
    return { raises: code ?? (name === 'Error' ? message : name) }
  }
}

async function call(cache: Cache, step: GoldenStep, keys: readonly string[]): Promise<unknown> {
  const { op, args, kwargs = {} } = step
  const [key, second, third] = args.map(toValue) as [string, unknown, unknown]
  const version = 'version' in kwargs ? { version: kwargs['version'] as Version } : {}
  const timeoutOf = (timeout: unknown) =>
    timeout === undefined ? {} : { timeout: timeout as number }
  switch (op) {
    case 'set':
      return cache.set(key, second, { ...timeoutOf(third), ...version })
    case 'add':
      return cache.add(key, second, { ...timeoutOf(third), ...version })
    case 'get':
      return cache.get(key, {
        default: 'default' in kwargs ? kwargs['default'] : second,
        ...version,
      })
    case 'has_key':
    case 'contains':
      return cache.has(key, version)
    case 'delete':
      return cache.delete(key, version)
    case 'touch':
      return cache.touch(key, { ...timeoutOf(second), ...version })
    case 'incr':
      return cache.incr(key, second as number | undefined, version)
    case 'decr':
      return cache.decr(key, second as number | undefined, version)
    case 'incr_version':
      return cache.incrVersion(key, second as number | undefined, version)
    case 'decr_version':
      return cache.decrVersion(key, second as number | undefined, version)
    case 'get_or_set':
      return cache.getOrSet(key, second)
    case 'get_many':
      return Object.fromEntries(await cache.getMany(args[0] as string[], version))
    case 'set_many':
      return cache.setMany(toValue(args[0]) as Readonly<Record<string, unknown>>, timeoutOf(second))
    case 'delete_many':
      return cache.deleteMany(args[0] as string[])
    case 'ttl':
      return ttl(cache, cache.makeKey(key, kwargs['version'] as Version | undefined))
    case 'count':
      return (await cache.getMany(keys)).size
    case 'present':
      return [...(await cache.getMany(args[0] as string[])).keys()]
    default:
      throw new Error(`unknown operation ${op}`)
  }
}

async function ttl(cache: Cache, storedKey: string): Promise<unknown> {
  const deadline = await coreOf(cache).store.readDeadline(storedKey)
  if (deadline === undefined) return 'missing'
  return deadline === null ? null : (deadline - Date.now()) / 1000
}
