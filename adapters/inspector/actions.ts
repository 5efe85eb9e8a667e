import { coreOf } from '../../src/backend/core.js'
import { stillThere } from '../../src/backend/still-there.js'
import type { Cache } from '../../src/cache.js'
import { explainStoredTags, invalidateStoredTags, type Caches } from '../../src/caches.js'
import { didYouMean } from '../../src/did-you-mean.js'
import { CacheBackendError, type FragcacheError } from '../../src/errors.js'
import { checkName } from '../../src/fragment/key.js'
import { toDependents, type Dependents } from '../../src/observe/dependents.js'
import { foreignTag, fragmentTag } from '../../src/tags.js'
import type { AuditAction } from './audit.js'
import { RequestFault } from './body.js'
import { foretell } from './foretell.js'
import type { PagesOfUrls } from './options.js'

type Body = Readonly<Record<string, unknown>>

/** Something to be done: checked, and not done yet. */
export interface Action {
  readonly alias?: string
  /** What the audit names. */
  readonly target: string
  /** Nothing is done: it says what would be. */
  readonly isDryRun?: boolean
  /** @returns What it did, as a sentence. */
  readonly run: () => string | Promise<string>
}

/** One whose effect can be told before. */
interface Invalidation extends Action {
  readonly explain: () => Dependents | Promise<Dependents>
}

/** What actions are done to. */
export interface Targets {
  readonly caches: Caches
  readonly pages: PagesOfUrls | undefined
  readonly reset: () => void
}

/**
 * Reads what a request wants done.
 *
 * @throws RequestFault: something is missing, unknown or of the wrong kind.
 */
export function toAction(name: AuditAction, body: Body, targets: Targets): Action {
  return READERS[name](body, targets)
}

const READERS: Readonly<Record<AuditAction, (body: Body, targets: Targets) => Action>> = {
  delete(body, { caches }) {
    checkNames(body, ['alias', 'key', 'version'])
    const alias = readAlias(caches, body, 'alias')
    const key = readText(body, 'key')
    const version = readVersion(body)
    return {
      alias,
      target: key,
      run: async () => {
        const wasThere = await caches.get(alias).delete(key, { version })
        return `${shown(key)} ${wasThere ? 'was deleted from' : 'was not in'} ${shown(alias)}.`
      },
    }
  },

  invalidate(body, targets) {
    checkNames(body, ['fragment', 'using', 'tag', 'soft', 'url', 'dryRun'])
    const given = ['fragment', 'tag', 'url'].filter((name) => body[name] !== undefined)
    if (given.length !== 1) throw fault('Give exactly one of fragment, tag and url.')
    return orDryRun(body, INVALIDATIONS[given[0] as keyof typeof INVALIDATIONS](body, targets))
  },

  clear(body, { caches }) {
    checkNames(body, ['alias', 'dryRun'])
    const alias = readAlias(caches, body, 'alias')
    const cache = caches.get(alias)
    return orDryRun(body, {
      alias,
      target: '',
      explain: async () => {
        const { entries } = await stillThere(coreOf(cache), () => true)
        // Values without tags are not remembered.
        return toDependents([{ entries, isWhole: false }])
      },
      run: async () => {
        await cache.clear()
        return `${shown(alias)} is empty.`
      },
    })
  },

  reset(body, { reset }) {
    checkNames(body, [])
    return {
      target: '',
      run: () => {
        reset()
        return 'All figures count from now.'
      },
    }
  },
}

/** What is asked for, or only what it would drop. */
function orDryRun(body: Body, action: Invalidation): Action {
  if (!readFlag(body, 'dryRun')) return action
  return { ...action, isDryRun: true, run: async () => foretell(await action.explain()) }
}

const INVALIDATIONS = { fragment: fragmentAction, tag: tagAction, url: urlAction }

function fragmentAction(body: Body, { caches }: Targets): Invalidation {
  const name = readText(body, 'fragment')
  try {
    checkName(name)
  } catch (error) {
    throw fault((error as Error).message)
  }
  const using = body['using'] === undefined ? undefined : readAlias(caches, body, 'using')
  const soft = readFlag(body, 'soft')
  const tag = fragmentTag(name)
  const own = using === undefined ? undefined : caches.get(using)
  // What contains it may live in any of the caches.
  const tagsFor = (cache: Cache) =>
    own === undefined || cache === own ? [tag, foreignTag(tag)] : [foreignTag(tag)]
  return {
    ...(using !== undefined && { alias: using }),
    target: `fragment ${name}`,
    explain: () => explainStoredTags(caches, tagsFor),
    run: async () => {
      await invalidateStoredTags(caches, tagsFor, { soft })
      return `Every variant of the fragment ${shown(name)} is ${soft ? 'stale' : 'gone'}.`
    },
  }
}

function tagAction(body: Body, { caches }: Targets): Invalidation {
  const tag = readText(body, 'tag')
  refuse(body, 'using', 'A tag is invalidated in every cache: leave using out.')
  const soft = readFlag(body, 'soft')
  return {
    target: `tag ${tag}`,
    explain: () => caches.explainTags([tag]),
    run: async () => {
      await caches.invalidateTags([tag], { soft })
      return `Everything with the tag ${shown(tag)} is ${soft ? 'stale' : 'gone'}.`
    },
  }
}

function urlAction(body: Body, { pages }: Targets): Invalidation {
  const url = readText(body, 'url')
  refuse(body, 'using', 'A URL is invalidated in all caches: leave using out.')
  refuse(body, 'soft', 'The pages of a URL are dropped: leave soft out.')
  if (pages === undefined) {
    throw fault(
      'URLs cannot be invalidated here: pass the result of responseCache as the option pages.',
    )
  }
  return {
    target: `url ${url}`,
    explain: () => pages.explain?.(url) ?? NOT_KNOWN,
    run: async () => {
      await pages.invalidate(url)
      return `Every stored page of ${shown(url)} is gone.`
    },
  }
}

function refuse(body: Body, name: string, message: string): void {
  if (body[name] !== undefined) throw fault(message)
}

function checkNames(body: Body, known: readonly string[]): void {
  for (const name of Object.keys(body)) {
    if (known.includes(name)) continue
    const names = known.length === 0 ? 'there are none' : `known are ${known.join(', ')}`
    const hint = didYouMean(name, known)
    throw fault(`Unknown property ${shown(name)}; ${names}${hint === '' ? '.' : hint}`)
  }
}

function readText(body: Body, name: string): string {
  const value = body[name]
  if (typeof value === 'string' && value !== '') return value
  throw fault(`${name}: give a string of at least one character.`)
}

function readAlias(caches: Caches, body: Body, name: string): string {
  const alias = readText(body, name)
  if (caches.has(alias)) return alias
  const known = caches.aliases.map(shown).join(', ')
  const hint = didYouMean(alias, caches.aliases)
  throw fault(
    `${name}: there is no cache ${shown(alias)}; the caches are ${known}${hint === '' ? '.' : hint}`,
  )
}

function readVersion({ version }: Body): string | number | undefined {
  if (version === undefined) return undefined
  if (typeof version === 'string' && version !== '') return toVersion(version)
  if (typeof version === 'number' && Number.isSafeInteger(version)) return version
  throw fault('version: give a whole number or a string.')
}

/** What comes as text, as in a query, is the number that it reads as. */
export function toVersion(text: string): string | number {
  const version = Number(text)
  return Number.isSafeInteger(version) && String(version) === text ? version : text
}

/** Of pages that do not tell. */
const NOT_KNOWN: Dependents = {
  entries: 0,
  fragments: [],
  pages: [],
  values: { entries: 0, keys: [] },
  isWhole: false,
}

function readFlag(body: Body, name: string): boolean {
  const value = body[name] ?? false
  if (typeof value === 'boolean') return value
  throw fault(`${name}: give true or false.`)
}

function fault(message: string): RequestFault {
  return new RequestFault(400, message)
}

const MAX_SHOWN = 200

/** A text in quotes, cut to a length for messages. */
export function shown(text: string): string {
  return JSON.stringify(text.length > MAX_SHOWN ? `${text.slice(0, MAX_SHOWN)}…` : text)
}

/** What a failure tells the page, and with which status. */
export function toFault(error: unknown): RequestFault {
  if (error instanceof RequestFault) return error
  const { code, message } = error as Partial<FragcacheError>
  if (error instanceof CacheBackendError || code === 'FRAGCACHE_BACKEND_FAILED') {
    return new RequestFault(503, `The cache failed: ${message}`)
  }
  const isMisuse = error instanceof TypeError || error instanceof RangeError
  if (isMisuse || (typeof code === 'string' && code.startsWith('FRAGCACHE_'))) {
    return new RequestFault(400, String(message))
  }
  return new RequestFault(
    500,
    'Something failed that was not expected; see the warnings of the process.',
  )
}
