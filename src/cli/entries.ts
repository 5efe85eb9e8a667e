import { inspect } from 'node:util'
import type { EntryDescription } from '../describe.js'
import type { Version } from '../keys.js'
import { describeEntryOf } from '../pages/listed.js'
import { UsageError } from './faults.js'
import { countEntries, showEntryCount } from './listing.js'
import { Samples, showSample } from './samples.js'
import type { Session } from './session.js'
import {
  EXIT_DONE,
  EXIT_FAILED,
  showBytes,
  showDuration,
  visibleName,
  type ExitCode,
} from './terminal.js'

export interface EntryOptions {
  readonly keyVersion?: string | undefined
  readonly info?: boolean | undefined
  readonly dryRun?: boolean | undefined
}

/** A version as it was typed: a whole number is one, anything else a text. */
export function toVersion(command: string, text: string | undefined): Version | undefined {
  if (text === undefined) return undefined
  if (text === '')
    throw new UsageError(`${command}: --key-version is empty; give a version such as 2`)
  return /^-?(?:0|[1-9]\d{0,14})$/.test(text) ? Number(text) : text
}

/** Prints an entry's value, or what is known of the entry. */
export async function getEntry(
  session: Session,
  alias: string,
  key: string,
  { keyVersion, info = false }: EntryOptions,
): Promise<ExitCode> {
  const cache = await session.reachable(alias)
  const version = toVersion('get', keyVersion)
  const entry = await session.strictly(() => describeEntryOf(cache, key, { version }))
  const isFound = entry !== undefined && !entry.isStale
  if (!isFound) {
    const asked = { alias, key, storedKey: cache.makeKey(key, version), found: false }
    if (session.isJson) session.result({ ...asked, isStale: entry !== undefined }, () => '')
    session.say(
      entry === undefined
        ? `get: ${JSON.stringify(key)} is not in ${alias} (stored key ${JSON.stringify(asked.storedKey)})`
        : `get: ${JSON.stringify(key)} in ${alias} is stale (expired, or invalidated softly): it is served only to callers that accept stale entries`,
    )
    return EXIT_FAILED
  }
  session.result(toJsonEntry(alias, entry), () =>
    info ? showEntry(alias, entry, Date.now()) : showValue(entry.value),
  )
  return EXIT_DONE
}

/** Removes an entry. */
export async function deleteEntry(
  session: Session,
  alias: string,
  key: string,
  { keyVersion, dryRun = false }: EntryOptions,
): Promise<ExitCode> {
  const cache = await session.reachable(alias)
  const version = toVersion('delete', keyVersion)
  if (dryRun) {
    const isThere = await session.strictly(() => cache.has(key, { version }))
    const asked = { alias, key, storedKey: cache.makeKey(key, version) }
    session.result({ dryRun, ...asked, found: isThere }, () =>
      isThere
        ? `${JSON.stringify(key)} would be deleted from ${alias}`
        : `${JSON.stringify(key)} is not in ${alias} (stored key ${JSON.stringify(asked.storedKey)})`,
    )
    return EXIT_DONE
  }
  const deleted = await session.strictly(() => cache.delete(key, { version }))
  const storedKey = cache.makeKey(key, version)
  session.result({ alias, key, storedKey, deleted }, () =>
    deleted
      ? `${JSON.stringify(key)} was deleted from ${alias}`
      : `${JSON.stringify(key)} was not in ${alias} (stored key ${JSON.stringify(storedKey)})`,
  )
  return EXIT_DONE
}

/** Removes what a cache could have written. */
export async function clearCache(
  session: Session,
  alias: string,
  { dryRun = false }: Pick<EntryOptions, 'dryRun'>,
): Promise<ExitCode> {
  const cache = await session.reachable(alias)
  if (dryRun) {
    const samples = new Samples()
    const entries = await countEntries(session, alias, (entry) => {
      samples.add(entry)
      return true
    })
    session.result({ dryRun, alias, entries, found: samples.all }, () =>
      [
        `${alias} would be cleared: ${showEntryCount(entries)}`,
        ...samples.all.map((one) => `  ${showSample(one)}`),
      ].join('\n'),
    )
    return EXIT_DONE
  }
  await session.strictly(() => cache.clear())
  session.result({ alias, cleared: true }, () => `${alias} was cleared`)
  return EXIT_DONE
}

/** A value as text: a text as it is, bytes that are text as that text, anything else as Node shows it. */
function showValue(value: unknown): string {
  if (typeof value === 'string') return value
  return inspect(value, {
    depth: 20,
    maxArrayLength: 1000,
    maxStringLength: 100_000,
    breakLength: 80,
  })
}

/** Exactly one of `value`, `valueBase64` and `valueText` is there. */
function toJsonEntry(alias: string, entry: EntryDescription): object {
  const { key, storedKey, version, value, tags, fragments, expiresAtMs, freshUntilMs } = entry
  const { isStale, bytes } = entry
  const rest = { tags, fragments, expiresAtMs, freshUntilMs, isStale, bytes: bytes ?? null }
  return { alias, key, storedKey, version, found: true, ...toJsonValue(value), ...rest }
}

function toJsonValue(value: unknown): object {
  if (value instanceof Uint8Array) return { valueBase64: Buffer.from(value).toString('base64') }
  return isJson(value) ? { value } : { valueText: showValue(value) }
}

/** Whether JSON says it in full. Loops are not, nor is what JSON would change or leave out. */
function isJson(value: unknown, above: readonly unknown[] = []): boolean {
  if (value === null || typeof value === 'boolean') return true
  if (typeof value === 'string') return value.isWellFormed()
  if (typeof value === 'number') return Number.isFinite(value) && !Object.is(value, -0)
  if (typeof value !== 'object' || above.includes(value)) return false
  const within = [...above, value]
  if (Array.isArray(value)) {
    // An array of holes may be long.
    return Object.keys(value).length === value.length && value.every((one) => isJson(one, within))
  }
  const prototype: unknown = Object.getPrototypeOf(value)
  if (prototype !== null && prototype !== Object.prototype) return false
  return Object.values(value).every((one) => isJson(one, within))
}

function showEntry(alias: string, entry: EntryDescription, nowMs: number): string {
  const { key, storedKey, version, tags, fragments, expiresAtMs, freshUntilMs, bytes } = entry
  const until = (ms: number | null) =>
    ms === null
      ? 'never'
      : `${new Date(ms).toISOString()} (in ${showDuration(Math.max(0, ms - nowMs) / 1000)})`
  const rows: [string, string][] = [
    ['cache', alias],
    ['key', key],
    ['stored key', storedKey],
    ['version', String(version)],
    ['expires', until(expiresAtMs)],
    ...(freshUntilMs === expiresAtMs
      ? []
      : [['stale from', until(freshUntilMs)] as [string, string]]),
    ['size', showBytes(bytes)],
    ['tags', tags.length === 0 ? '-' : tags.join(', ')],
    ['fragments', fragments.length === 0 ? '-' : fragments.join(', ')],
  ]
  return rows.map(([name, value]) => `${name.padEnd(12)}${visibleName(value)}`).join('\n')
}
