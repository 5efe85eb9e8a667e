/**
 * What other libraries call a thing, and what it is called here in one place or another: meant is the first that is
 * known in the place in question.
 */
const SYNONYMS: readonly (readonly [names: readonly string[], meant: readonly string[]])[] = [
  [
    [
      'ttl',
      'stdttl',
      'defaultttl',
      'timetolive',
      'expires',
      'expiresin',
      'expire',
      'expiry',
      'lifetime',
      'duration',
      'exp',
      'ex',
    ],
    ['timeout', 'seconds'],
  ],
  [
    ['maxage', 'px', 'ttlms', 'expiration', 'ttlseconds', 'cachetime', 'expireafter'],
    ['timeout', 'seconds'],
  ],
  [
    [
      'url',
      'uri',
      'host',
      'hostname',
      'server',
      'servers',
      'hosts',
      'nodes',
      'endpoints',
      'connection',
      'connectionstring',
      'path',
      'dir',
      'directory',
      'folder',
      'table',
      'tablename',
      'filename',
    ],
    ['location'],
  ],
  [['pool', 'client', 'knex', 'datasource'], ['database']],
  [['database', 'dbnumber', 'databasenumber', 'index'], ['db']],
  [['l1', 'near', 'inner', 'memory', 'stores', 'tiers', 'layers'], ['local']],
  [['l2', 'far', 'outer', 'shared'], ['remote']],
  [['fallback', 'otherwise', 'ifmissing'], ['default']],
  [['ssl', 'secure'], ['tls']],
  [['file', 'configfile', 'conf'], ['config']],
  [['user'], ['username']],
  [['pass', 'pwd', 'auth'], ['password']],
  [['prefix', 'namespace', 'keyspace'], ['keyPrefix']],
  [
    ['max', 'maxsize', 'maxentries', 'maxitems', 'maxkeys', 'size', 'capacity', 'limit'],
    ['maxEntries'],
  ],
  [['maxbytes', 'maxmemory'], ['maxBytes']],
  [['compression', 'gzip'], ['compress']],
  [['silent', 'failsafe', 'ignoreexceptions'], ['ignoreErrors']],
  [
    ['timelimit', 'timeoutms', 'connecttimeout', 'commandtimeout', 'sockettimeout'],
    ['timeLimitMs'],
  ],
  [['swr', 'grace', 'graceperiod', 'stale', 'stalettl'], ['staleWhileRevalidate']],
  [['hardtimeout', 'softtimeout', 'factorytimeout', 'fetchtimeout'], ['producerTimeoutMs']],
  [['mutex', 'singleflight', 'dedupe', 'stampede'], ['lock']],
  [['auth', 'authenticate', 'isadmin', 'isallowed', 'allow', 'access'], ['authorize']],
  [
    ['key', 'id', 'varies', 'vary', 'varyby', 'varyon', 'cachekey', 'appendkey'],
    ['varyOn', 'vary', 'keyPrefix'],
  ],
  [
    ['backend', 'store', 'storage', 'caches'],
    ['using', 'cache', 'alias'],
  ],
  [['tag', 'cachetags', 'surrogatekeys'], ['tags']],
  [['unless', 'when', 'condition'], ['if']],
  [['test', 'match', 'guard', 'isapplicable', 'isinstance', 'predicate'], ['is']],
  [['serialize', 'stringify', 'tojson', 'replacer', 'pack', 'write'], ['encode']],
  [['deserialize', 'parse', 'fromjson', 'reviver', 'revive', 'unpack', 'read'], ['decode']],
  [['identifier', 'class', 'typename'], ['name']],
  [['transformers', 'classes', 'customtypes'], ['types']],
]

/** Names that are known in another place, each with where that is: completes `did you mean "timeout", …?`, if not empty. */
export type Elsewhere = Readonly<Record<string, string>>

/**
 * Advice for a name that is not known, to be put behind a message.
 *
 * @param known - The names that are; those in another object with its name, as in `options.maxEntries`.
 * @returns The empty text where nothing is like it.
 */
export function didYouMean(
  name: unknown,
  known: readonly string[],
  elsewhere: Elsewhere = {},
): string {
  if (typeof name !== 'string') return ''
  const others = Object.keys(elsewhere)
  const wanted = plain(name)
  const meant =
    called(wanted, known) ?? called(wanted, others) ?? nearest(wanted, [...known, ...others])
  if (meant === undefined) return ''
  // Others count their times in milliseconds.
  const unit = meant === 'timeout' ? ', in seconds' : ''
  const where = known.includes(meant) ? '' : elsewhere[meant]
  return `; did you mean ${JSON.stringify(meant)}${unit}${where ? `, ${where}` : ''}?`
}

/** The one of those known that has this name, or is called so in other libraries. */
function called(wanted: string, known: readonly string[]): string | undefined {
  const find = (plainName: string) =>
    known.find((one) => plain(one.slice(one.lastIndexOf('.') + 1)) === plainName)
  const same = find(wanted)
  if (same !== undefined) return same
  const groups = SYNONYMS.filter(
    ([others, ours]) => others.includes(wanted) || ours.some((one) => plain(one) === wanted),
  )
  for (const one of groups.flatMap(([, ours]) => ours)) {
    const found = find(plain(one))
    if (found !== undefined) return found
  }
  return undefined
}

/** As it is read: `key_prefix`, `key-prefix` and `keyprefix` are one name. */
function plain(name: string): string {
  return name.toLowerCase().replaceAll(/[_\s-]/g, '')
}

/** Longer names than this are no misspelt ones. */
const MAX_LENGTH = 40

/** The one of those known that a name is but for a few letters. */
export function nearlyNamed(name: string, known: readonly string[]): string | undefined {
  return name.length > MAX_LENGTH ? undefined : closest(plain(name), known)
}

function nearest(wanted: string, known: readonly string[]): string | undefined {
  if (wanted.length > MAX_LENGTH) return undefined
  const [shortened, ...others] = known.filter((one) => begins(wanted, plain(one)))
  if (shortened !== undefined && others.length === 0) return shortened
  return closest(wanted, known)
}

function closest(wanted: string, known: readonly string[]): string | undefined {
  let best: string | undefined
  let least = Math.max(1, Math.floor(wanted.length / 3)) + 1
  for (const one of known) {
    const distance = distanceOf(wanted, plain(one))
    if (distance < least) [best, least] = [one, distance]
  }
  return best
}

const MIN_BEGIN = 3

/** Whether one is the other cut short, as `dry` and `dryRun`. */
function begins(a: string, b: string): boolean {
  return Math.min(a.length, b.length) >= MIN_BEGIN && (a.startsWith(b) || b.startsWith(a))
}

/** Letters to add, leave out, change, or swap with the next one. @see Damerau (1964), Levenshtein (1966) */
function distanceOf(a: string, b: string): number {
  let [before, last]: [number[], number[]] = [[], Array.from({ length: b.length + 1 }, (_, i) => i)]
  for (let i = 1; i <= a.length; i++) {
    const row = [i]
    for (let j = 1; j <= b.length; j++) {
      const isSame = a[i - 1] === b[j - 1]
      let least = Math.min(
        (last[j] as number) + 1,
        (row[j - 1] as number) + 1,
        (last[j - 1] as number) + (isSame ? 0 : 1),
      )
      const isSwapped = i > 1 && j > 1 && a[i - 1] === b[j - 2] && a[i - 2] === b[j - 1]
      if (isSwapped) least = Math.min(least, (before[j - 2] as number) + 1)
      row.push(least)
    }
    ;[before, last] = [last, row]
  }
  return last[b.length] as number
}
