/** What other libraries call a thing, and what it is called here: the first that is known where it was given. */
const ELSEWHERE: readonly (readonly [names: readonly string[], meant: readonly string[]])[] = [
  [
    [
      'ttl',
      'stdttl',
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
    ['maxage', 'px', 'ttlms', 'expiration'],
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
  [['prefix', 'namespace', 'keyspace'], ['keyPrefix']],
  [
    ['max', 'maxsize', 'maxentries', 'maxitems', 'maxkeys', 'size', 'capacity', 'limit'],
    ['maxEntries', 'options.maxEntries'],
  ],
  [
    ['maxbytes', 'maxmemory'],
    ['maxBytes', 'options.maxBytes'],
  ],
  [
    ['compression', 'gzip'],
    ['compress', 'options.compress'],
  ],
  [['silent', 'failsafe', 'ignoreexceptions'], ['ignoreErrors']],
  [
    ['timelimit', 'timeoutms', 'connecttimeout', 'commandtimeout', 'sockettimeout'],
    ['timeLimitMs', 'options.timeLimitMs'],
  ],
  [['swr', 'grace', 'stale', 'stalettl'], ['staleWhileRevalidate']],
  [
    ['key', 'id', 'varies', 'vary', 'varyby', 'varyon'],
    ['varyOn', 'vary'],
  ],
  [
    ['cache', 'alias', 'backend', 'store'],
    ['using', 'cache', 'alias'],
  ],
  [['tag', 'cachetags', 'surrogatekeys'], ['tags']],
  [['unless', 'when', 'condition'], ['if']],
  [['test', 'match', 'guard', 'isapplicable', 'isinstance', 'predicate'], ['is']],
  [['serialize', 'stringify', 'tojson', 'replacer', 'pack', 'write'], ['encode']],
  [['deserialize', 'parse', 'fromjson', 'reviver', 'revive', 'unpack', 'read'], ['decode']],
  [['identifier', 'class', 'typename'], ['name']],
  [
    ['transformers', 'classes', 'customtypes'],
    ['types', 'options.types'],
  ],
]

/**
 * Advice for a name that is not known, to be put behind a message.
 *
 * @param known - The names that are; those in another object with its name, as in `options.maxEntries`.
 * @returns The empty text where nothing is like it.
 */
export function didYouMean(name: unknown, known: readonly string[]): string {
  const meant = typeof name === 'string' ? findMeant(name, known) : undefined
  if (meant === undefined) return ''
  // Others count their times in milliseconds.
  const unit = meant === 'timeout' ? ', in seconds' : ''
  return `; did you mean ${JSON.stringify(meant)}${unit}?`
}

function findMeant(name: string, known: readonly string[]): string | undefined {
  const wanted = plain(name)
  const same = known.find((one) => plain(one.slice(one.lastIndexOf('.') + 1)) === wanted)
  if (same !== undefined) return same
  const elsewhere = ELSEWHERE.find(([names]) => names.includes(wanted))
  return elsewhere?.[1].find((one) => known.includes(one)) ?? nearest(wanted, known)
}

/** As it is read: `key_prefix`, `key-prefix` and `keyprefix` are one name. */
function plain(name: string): string {
  return name.toLowerCase().replaceAll(/[_\s-]/g, '')
}

/** Longer names than this are no misspelt ones. */
const MAX_LENGTH = 40

function nearest(wanted: string, known: readonly string[]): string | undefined {
  if (wanted.length > MAX_LENGTH) return undefined
  let best: string | undefined
  let least = Math.max(1, Math.floor(wanted.length / 3)) + 1
  for (const one of known) {
    const distance = distanceOf(wanted, plain(one))
    if (distance < least) [best, least] = [one, distance]
  }
  return best
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
