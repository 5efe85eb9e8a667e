import { coreOf } from '../backend/core.js'
import { expiredAt } from '../backend/expired.js'
import type { Cache } from '../cache.js'
import type { Version } from '../keys.js'
import { droppedElsewhere, expired, tagLost, type MissCause } from '../observe/miss-cause.js'
import type { Lost } from '../observe/remembered.js'
import { toVersion, type EntryOptions } from './entries.js'
import { canList, endOfPage, familyOf, listStored } from '../pages/listed.js'
import type { Session } from './session.js'
import { EXIT_DONE, EXIT_FAILED, type ExitCode } from './terminal.js'

interface Finding {
  /** `found`, or a code of `MissCause`; `other-cache`: another cache has it; `absent`: the store keeps no trace. */
  readonly cause: string
  readonly text: string
  /** Under which the key is stored instead. */
  readonly versions?: readonly Version[]
  /** The caches that have it instead. */
  readonly aliases?: readonly string[]
  /** How many other variants of the same fragment or URL there are. */
  readonly variants?: number
}

/** Says why an entry is missing, as far as its store can tell. */
export async function explainEntry(
  session: Session,
  alias: string,
  key: string,
  { keyVersion }: Pick<EntryOptions, 'keyVersion'>,
): Promise<ExitCode> {
  const cache = await session.reachable(alias)
  const version = toVersion('explain', keyVersion)
  const storedKey = cache.makeKey(key, version)
  const finding =
    (await session.strictly(() => findingOf(cache, key, storedKey, version))) ??
    (await whereElse(session, alias, cache, key, version))
  session.result(
    { alias, key, storedKey, ...finding },
    () => `${JSON.stringify(key)} in ${alias}: ${finding.text}`,
  )
  return finding.cause === 'found' ? EXIT_DONE : EXIT_FAILED
}

/** @returns `undefined`: nothing lies there. */
async function findingOf(
  cache: Cache,
  key: string,
  storedKey: string,
  version: Version = coreOf(cache).settings.version,
): Promise<Finding | undefined> {
  const { hits, lost, lying } = await coreOf(cache).entries.lookup([storedKey], [], {
    isCurrent: true,
  })
  const nowMs = Date.now()
  if (hits[0] !== undefined) {
    const end = await endOfPage(cache, { key, version, value: hits[0].value })
    if (end === undefined) return { cause: 'found', text: 'It is there, and fresh.' }
    if (end === 'dropped') return DROPPED
    const { code, text } = causeOf(end, nowMs)
    return { cause: code, text }
  }
  const trace = lost?.[0]
  if (trace !== undefined && trace !== 'unusable') {
    const { code, text } = causeOf(trace, nowMs)
    return { cause: code, text }
  }
  if (lying[0] === undefined || lying[0] === null) {
    const atMs = await expiredAt(coreOf(cache), storedKey)
    if (atMs === undefined) return undefined
    const { code, text } = expired(Math.max(0, nowMs - atMs))
    return { cause: code, text }
  }
  return {
    cause: 'unreadable',
    text: 'What is stored under this key is not a readable entry: the entry is being produced just now, or another program wrote it.',
  }
}

const DROPPED: Finding = {
  cause: 'removed',
  text: 'Its URL was invalidated, or the store has lost the record that the pages of a URL need.',
}

function causeOf(trace: Exclude<Lost, 'unusable'>, nowMs: number): MissCause {
  if ('tag' in trace) return droppedElsewhere(trace.tag, trace.atMs, nowMs, '')
  return 'lostTag' in trace ? tagLost(trace.lostTag) : expired(nowMs - trace.expiredAtMs)
}

async function whereElse(
  session: Session,
  alias: string,
  cache: Cache,
  key: string,
  version: Version | undefined,
): Promise<Finding> {
  const own = version ?? coreOf(cache).settings.version
  const { versions, variants } = await session.strictly(() =>
    canList(cache) ? listed(cache, key, own) : near(cache, key, own),
  )
  if (versions.length > 0) {
    const shown = versions.map((version) => JSON.stringify(version)).join(', ')
    return {
      cause: 'other-version',
      text: `It is stored under another version: ${shown}. Set \`version\` of the cache, or ask with --key-version.`,
      versions,
    }
  }
  const aliases = await otherAliases(session, alias, key)
  if (aliases.length > 0) {
    return {
      cause: 'other-cache',
      text: `It is stored in another cache: ${aliases.join(', ')}. Caches over one server differ by their \`keyPrefix\`.`,
      aliases,
    }
  }
  if (variants > 0) {
    const others =
      variants === 1
        ? 'Another variant of it is stored'
        : `${variants} other variants of it are stored`
    return {
      cause: 'other-variant',
      text: `${others}. A key holds only a digest of the values that variants differ in; the inspector of the process that stored them shows the values.`,
      variants,
    }
  }
  return {
    cause: 'absent',
    text: 'It is not there: it was never stored, has expired, was removed or was evicted. The store keeps no reason; the inspector of the process that stored it does.',
  }
}

/** What a cache has instead of an entry. */
interface Instead {
  /** Under which the same key is stored. */
  readonly versions: readonly Version[]
  /** The number of other variants of the same fragment or URL. */
  readonly variants: number
}

async function listed(cache: Cache, key: string, own: Version): Promise<Instead> {
  const family = familyOf(key)
  const isRelated = (other: string) =>
    other === key || (family !== undefined && familyOf(other) === family)
  const versions: Version[] = []
  let variants = 0
  for await (const entry of listStored(cache, isRelated)) {
    if (entry.key === key) versions.push(entry.version)
    else if (entry.version === own) variants++
  }
  return { versions, variants }
}

/** Versions that are asked for before and after one, where a store cannot list what it has. */
const NEAR = 10

/** The same of a store that cannot list its keys, as far as the versions are numbers close to one. */
async function near(cache: Cache, key: string, version: Version): Promise<Instead> {
  const own = Number(version)
  if (!Number.isSafeInteger(own)) return { versions: [], variants: 0 }
  const versions = Array.from({ length: 2 * NEAR + 1 }, (_, i) => own - NEAR + i)
  const there = await Promise.all(versions.map((one) => cache.has(key, { version: one })))
  return { versions: versions.filter((_, i) => there[i]), variants: 0 }
}

/** The other caches of the configuration that have the key, as far as they answer. */
async function otherAliases(session: Session, alias: string, key: string): Promise<string[]> {
  const { aliases } = session.caches
  const away = await session.unreachable(aliases)
  const having: string[] = []
  for (const one of aliases) {
    if (one === alias || away.includes(one)) continue
    const isThere = session.strictly(() => session.cache(one).has(key))
    if (await isThere.catch(() => false)) having.push(one)
  }
  return having
}
