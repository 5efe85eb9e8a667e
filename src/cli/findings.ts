import { withName, type ServerFigures, type ServerStats } from '../server-stats.js'
import type { ResolvedSettings } from '../settings.js'
import { showBytes, showCount, showDuration } from './terminal.js'

/** `wrong`: it does not work; `risk`: it may hurt; `note`: to be known. */
export type Level = 'wrong' | 'risk' | 'note'

/** Something that `check` found out. */
export interface Finding {
  readonly level: Level
  /** Stable, for programs. */
  readonly code: string
  readonly sentence: string
  readonly remedy: string
}

/** What is known of a cache besides whether it works. */
export interface Known {
  readonly backend: string
  readonly settings: Pick<ResolvedSettings, 'keyPrefix' | 'timeout' | 'ignoreErrors'>
  readonly stats: ServerStats | undefined
  /** Whether it looks as if there were several processes of the application on this machine. */
  readonly hasSeveralProcesses: boolean
}

/** Clocks that are so far apart are not set by the same time. */
const MAX_CLOCK_DISTANCE_MS = 2000

/** Nearly full. */
const FULL = 0.95

/** What fits into a server's entry where nobody has set it up otherwise. */
const USUAL_ENTRY_BYTES = 1024 * 1024

const DEFAULT_MAX_ENTRIES = 300

/** The versions without which some calls fail. */
const LEAST_VERSIONS: readonly {
  readonly backend: string
  readonly scope: ServerFigures['scope']
  readonly name: string
  readonly least: string
  readonly since: string
}[] = [
  { backend: 'RedisCache', scope: 'shared', name: 'Redis', least: '4.0', since: 'UNLINK' },
  { backend: 'MemcachedCache', scope: 'shared', name: 'Memcached', least: '1.4.8', since: 'touch' },
  {
    backend: 'DatabaseCache',
    scope: 'machine',
    name: 'SQLite',
    least: '3.35',
    since: 'INSERT … RETURNING',
  },
]

/** Judges a cache by what it and its servers tell of themselves. */
export function findingsOf(known: Known): Finding[] {
  const { stats } = known
  if (stats === undefined) return []
  if (stats.error !== undefined && stats.servers === undefined) {
    return [
      {
        level: 'risk',
        code: 'no-figures',
        sentence: `the server does not report its figures: ${stats.error}`,
        remedy:
          'let this user read them (INFO, DBSIZE and TIME on Redis), or check the server yourself',
      },
    ]
  }
  return [
    ...ofScope(known, stats),
    ...ofServers(stats),
    ...ofVersion(stats),
    ...ofMemory(stats),
    ...ofRoom(stats),
    ...ofClock(stats),
  ]
}

function ofScope({ settings, hasSeveralProcesses }: Known, { scope, backend }: ServerStats) {
  const found: Finding[] = []
  if (scope === 'process') {
    found.push({
      level: hasSeveralProcesses ? 'risk' : 'note',
      code: 'process-memory',
      sentence:
        'each process of the application has its own entries: what one of them removes or invalidates stays in the others',
      remedy: 'with several processes use a RedisCache, or a TieredCache over one',
    })
  }
  if (scope === 'machine') {
    found.push({
      level: 'note',
      code: 'machine-only',
      sentence: 'only the processes of this machine share the entries',
      remedy: 'with several machines use a RedisCache, a MemcachedCache or a database server',
    })
  }
  // A table belongs to the application.
  if (scope === 'shared' && backend !== 'DatabaseCache' && settings.keyPrefix === '') {
    found.push({
      level: 'risk',
      code: 'no-prefix',
      sentence: 'there is no key prefix: another application on this server may use the same keys',
      remedy: 'set keyPrefix to the name of this application, unless no other uses the server',
    })
  }
  return found
}

function ofServers({ servers = [] }: ServerStats): Finding[] {
  return servers
    .filter(({ error }) => error !== undefined)
    .map(({ name, error }) => ({
      level: 'wrong',
      code: 'server-down',
      sentence: `a server does not answer: ${withName(name, error)}`,
      remedy: 'start it, or take it out of the location',
    }))
}

function ofVersion({ backend, scope, version }: ServerStats): Finding[] {
  const needed = LEAST_VERSIONS.find((one) => one.backend === backend && one.scope === scope)
  if (needed === undefined || version === undefined || !isOlder(version, needed.least)) return []
  const { name, least, since } = needed
  return [
    {
      level: 'wrong',
      code: 'old-server',
      sentence: `${name} ${version} is older than ${least}, which knows ${since}`,
      remedy: `run ${name} ${least} or newer`,
    },
  ]
}

/** Whether a version such as `1.6.12` is older than another. */
export function isOlder(version: string, least: string): boolean {
  const numbers = (text: string) => (/\d+(?:\.\d+)*/.exec(text)?.[0] ?? '').split('.').map(Number)
  const [own, needed] = [numbers(version), numbers(least)]
  for (let i = 0; i < needed.length; i++) {
    const distance = (own[i] ?? 0) - (needed[i] ?? 0)
    if (distance !== 0) return distance < 0
  }
  return false
}

function ofMemory({ backend, scope, evictionPolicy, maxBytes, maxEntryBytes }: ServerStats) {
  const found: Finding[] = []
  const isServer = scope === 'shared' && backend !== 'DatabaseCache'
  if (!isServer) return found
  if (maxBytes === undefined) {
    found.push({
      level: 'risk',
      code: 'no-limit',
      sentence: 'its memory has no limit: it grows until the machine has none left',
      remedy: 'set maxmemory, for instance by CONFIG SET maxmemory 1gb, and in its configuration',
    })
  }
  if (evictionPolicy === 'noeviction') {
    found.push({
      level: 'risk',
      code: 'no-eviction',
      sentence:
        'it removes nothing to make room (noeviction): when it is full, nothing new is stored',
      remedy: 'let it make room: maxmemory-policy allkeys-lru or allkeys-lfu; Memcached without -M',
    })
  }
  if (evictionPolicy?.startsWith('volatile-') === true) {
    found.push({
      level: 'note',
      code: 'volatile-eviction',
      sentence: `entries without a deadline are never removed (${evictionPolicy})`,
      remedy: 'give entries a timeout, or use allkeys-lru',
    })
  }
  if (maxEntryBytes !== undefined && maxEntryBytes <= USUAL_ENTRY_BYTES) {
    found.push({
      level: 'note',
      code: 'entry-size',
      sentence: `entries of more than ${showBytes(maxEntryBytes)} are not kept`,
      remedy: 'for larger pages start it with more, such as -I 4m',
    })
  }
  return found
}

function ofRoom(stats: ServerStats): Finding[] {
  const { entries = 0, maxEntries, bytes = 0, maxBytes, evictions = 0, uptimeSeconds } = stats
  const found: Finding[] = []
  if (evictions > 0) {
    const since = uptimeSeconds === undefined ? '' : ` in ${showDuration(uptimeSeconds)}`
    found.push({
      level: 'risk',
      code: 'evicting',
      sentence: `it has removed ${showCount(evictions)} live entries to make room${since}`,
      remedy: 'give it more memory, or entries shorter timeouts',
    })
  } else if (maxBytes !== undefined && bytes >= FULL * maxBytes) {
    found.push({
      level: 'risk',
      code: 'nearly-full',
      sentence: `it is nearly full: ${showBytes(bytes)} of ${showBytes(maxBytes)}`,
      remedy: 'give it more memory, or entries shorter timeouts',
    })
  }
  // The memory of this process is empty, and says nothing of the application's.
  if (maxEntries !== undefined && stats.scope !== 'process' && entries >= FULL * maxEntries) {
    found.push({
      level: 'risk',
      code: 'nearly-full',
      sentence: `it is full: ${showCount(entries)} of ${showCount(maxEntries)} entries; live ones are removed before they expire`,
      remedy: 'raise options.maxEntries',
    })
  } else if (maxEntries === DEFAULT_MAX_ENTRIES) {
    found.push({
      level: 'note',
      code: 'default-limit',
      sentence: `it stores at most ${DEFAULT_MAX_ENTRIES} entries, the default`,
      remedy: 'set options.maxEntries to what the application needs',
    })
  }
  return found
}

function ofClock({ clockAheadMs = 0 }: ServerStats): Finding[] {
  if (Math.abs(clockAheadMs) <= MAX_CLOCK_DISTANCE_MS) return []
  const distance = showDuration(Math.abs(clockAheadMs) / 1000)
  return [
    {
      level: 'risk',
      code: 'clock',
      sentence: `its clock is ${distance} ${clockAheadMs > 0 ? 'ahead of' : 'behind'} this machine's: entries expire too early or too late`,
      remedy: 'let NTP set the clocks of both machines',
    },
  ]
}
