import { randomBytes } from 'node:crypto'
import { coreOf } from '../backend/core.js'
import type { Cache } from '../cache.js'
import { messageOfError } from '../error-text.js'
import type { Finding } from './findings.js'

/** What a round trip showed. */
export interface RoundTrip {
  /** Milliseconds from writing an entry until it was read. */
  readonly ms: number | undefined
  readonly findings: readonly Finding[]
}

/** Short, so that what an interrupted run leaves behind expires on its own. */
const TIMEOUT_SECONDS = 60

/** Of all runs the same, since the counter of a tag stays. */
const TAG = 'fragcache.check'

/** How often the tag is tried again when another run invalidates it meanwhile. */
const ATTEMPTS = 5

/** Most milliseconds for one cache, all calls together. */
const LIMIT_MS = 10_000

/** A key that nobody else uses. */
export function newCheckKey(): string {
  return `fragcache.check.${randomBytes(8).toString('hex')}`
}

/** Writes, reads, counts, tags and removes an entry of its own. */
export async function makeRoundTrip(cache: Cache, key: string): Promise<RoundTrip> {
  let timer: NodeJS.Timeout | undefined
  const late = new Promise<RoundTrip>((resolve) => {
    timer = setTimeout(() => {
      resolve({ ms: undefined, findings: [failureOf(`no answer within ${LIMIT_MS / 1000} s`)] })
    }, LIMIT_MS)
  })
  try {
    return await Promise.race([tryAll(cache, key), late])
  } finally {
    clearTimeout(timer)
  }
}

async function tryAll(cache: Cache, key: string): Promise<RoundTrip> {
  const options = { timeout: TIMEOUT_SECONDS }
  const value = { text: 'fragcache check', number: 7 }
  let ms: number | undefined
  try {
    const startedMs = performance.now()
    await cache.set(key, value, options)
    const read = await cache.get(key)
    ms = performance.now() - startedMs
    if (read === undefined) return { ms: undefined, findings: [keepsNothing(cache)] }
    const findings: Finding[] = []
    if (JSON.stringify(read) !== JSON.stringify(value)) {
      findings.push(wrong('changed', 'the value read is not the value written'))
    }
    await cache.set(key, 1, options)
    if ((await cache.incr(key)) !== 2) findings.push(wrong('count', 'incr does not count'))
    if (!(await invalidatesByTag(cache, key))) {
      findings.push(wrong('tags', 'an entry survives the invalidation of its tag'))
    }
    await cache.set(key, value, options)
    if (!(await cache.delete(key)) || (await cache.get(key)) !== undefined) {
      findings.push(wrong('delete', 'a deleted entry is still there'))
    }
    return { ms, findings }
  } catch (error) {
    return { ms: undefined, findings: [failureOf(messageOfError(error))] }
  } finally {
    await cache.delete(key).catch(() => undefined)
  }
}

async function invalidatesByTag(cache: Cache, key: string): Promise<boolean> {
  for (let attempt = 0; attempt < ATTEMPTS; attempt++) {
    await cache.set(key, 1, { timeout: TIMEOUT_SECONDS, tags: [TAG] })
    const wasThere = await cache.has(key)
    await cache.invalidateTags([TAG])
    if (await cache.has(key)) return false
    if (wasThere) return true
  }
  return true
}

function wrong(code: string, sentence: string): Finding {
  return {
    level: 'wrong',
    code,
    sentence,
    remedy: 'read from the server that you write to, or report a fault of the backend',
  }
}

function keepsNothing(cache: Cache): Finding {
  if (coreOf(cache).store.keepsNothing) {
    return {
      level: 'risk',
      code: 'keeps-nothing',
      sentence: 'it stores nothing (DummyCache)',
      remedy: 'in production use another backend',
    }
  }
  return {
    level: 'wrong',
    code: 'keeps-nothing',
    sentence: 'a value that was written cannot be read',
    remedy:
      'if ignoreErrors is set, turn it off to see the failure; otherwise give the store more room',
  }
}

/** In this order: the message of a connection that was lost contains what the server said before. */
const REMEDIES: readonly (readonly [RegExp, string, string])[] = [
  [/createcachetable/, 'no-table', 'run npx fragcache createcachetable'],
  [
    /NOAUTH|WRONGPASS|options\.username|authentication|password/i,
    'no-access',
    'check the user and the password that it connects with',
  ],
  [
    /NOPERM|permission|denied to user|access denied|EACCES|not writable/i,
    'no-access',
    'give this user the right to use it',
  ],
  [/DB index/, 'no-db', 'name an existing db, or configure more on the server: databases'],
  [
    /database "[^"]*" does not exist|Unknown database/,
    'no-db',
    'create the database, or connect to one that exists',
  ],
  [
    /READONLY|read-?only (?:transaction|option|database|file system)/i,
    'refused',
    'write to the leader, or to where this user may write: this one only reads',
  ],
  [
    /MISCONF|OOM|out of memory|ENOSPC|EDQUOT|No space left|is full\b/,
    'refused',
    'give it more room, or let it make some; see the configuration and the log of the server',
  ],
  [/ENOTFOUND|EAI_AGAIN/, 'unreachable', 'check the name of the host in the location'],
  [
    /ECONNREFUSED|no connection|no answer|no welcome|ETIMEDOUT|EHOSTUNREACH|ENOENT|closed/,
    'unreachable',
    'start the server, or check the location and the network on the way to it',
  ],
  [/install/, 'missing-package', 'install the package'],
]

/** What a failure means, and what to do about it. */
export function failureOf(message: string): Finding {
  const [, code, remedy] = REMEDIES.find(([pattern]) => pattern.test(message)) ?? [
    undefined,
    'failed',
    'check the messages and the log of the server',
  ]
  return { level: 'wrong', code, sentence: message, remedy }
}
