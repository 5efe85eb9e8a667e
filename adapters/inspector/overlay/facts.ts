import { currentMs } from '../../../src/current-time.js'
import type { EntryDescription } from '../../../src/describe.js'
import { cachesOf, type Fragment } from '../../../src/fragment/spec.js'
import type { FragmentOutcome } from '../../../src/observe/channels.js'
import { explainFragment } from '../../../src/observe/reasons.js'
import type { LinkMaker, Links } from './links.js'
import type { Placed, Unplaced } from './locate.js'
import type { PlacedHole } from './locate-holes.js'
import type { PageTold } from './record.js'

/** Which fragment it is, and where it comes from. */
export interface Origin extends Links {
  readonly name: string
  readonly alias: string
  readonly template?: string
  readonly line?: number
}

/** What is shown of one fragment. */
export interface FragmentFacts extends Origin {
  readonly id: number
  readonly key: string
  /** Of what came along in something that was found: what became of that. */
  readonly outcome: FragmentOutcome
  /** The fragment, or the page, that it came along in. */
  readonly cameIn?: string
  /** The fragment around. */
  readonly around?: number
  /** Left out: not known. */
  readonly ageMs?: number
  /** `null`: it never ends. Left out: it is not in the cache, or not known. */
  readonly remainingMs?: number | null
  /** Left out: its store was not asked, or did not answer in time. */
  readonly isStored?: boolean
  readonly isStale: boolean
  /** Why it was not found, why it is not stored, or why it is stale. */
  readonly why?: string
  /** Left out: it was made elsewhere, or not at all. */
  readonly bodyMs?: number
  readonly bytes?: number
  readonly tags: readonly string[]
  /** Which of the page's caches its alias is one of. */
  readonly caches: number
  /** Left out: it has an outline. */
  readonly unplaced?: Unplaced
  readonly isSure: boolean
}

/** What is shown of a hole: what is rendered for each visitor. */
export interface HoleFacts {
  readonly id: number
  /** The fragment around. */
  readonly around?: number
}

/** What is shown of the page. */
export interface PageFacts extends Partial<Omit<PageTold, 'url'>>, Links {
  /** Left out: its URL cannot be invalidated here. */
  readonly url?: string
  /** Such as `GET /countries/:code`. */
  readonly route?: string
  /** A sentence on the reason. */
  readonly sentence?: string
  readonly remedy?: string
  readonly method: string
  readonly status: number
  readonly tookMs: number
  /** The headers that the overlay changes, as the application has set them. */
  readonly cacheControl: string
  readonly cacheStatus: string
}

/** What the script in the page is given. */
export interface OverlayData {
  /** Of what is drawn: a style sheet. */
  readonly style: string
  /** In the page's marks. */
  readonly mark: string
  readonly position: string
  /** Where actions are posted to, and what goes with them. */
  readonly action: string
  readonly tokenHeader: string
  readonly token: string
  readonly page: PageFacts
  readonly fragments: readonly FragmentFacts[]
  /** Their numbers go on where those of fragments end. */
  readonly holes: readonly HoleFacts[]
  /** Fragments whose body threw and that put out nothing. */
  readonly failed: readonly Origin[]
}

/** More are not asked for. */
const MAX_DESCRIBED = 500
/** A store that is slow must not hold the page. */
const MAX_WAIT_MS = 1_000

/**
 * Tells of the fragments of a page what there is to tell.
 *
 * @param page - The page's own outcome, where it was found: then what is in it came along.
 * @param numberOf - A number for the caches that a fragment belongs to.
 * @param links - Of the page.
 */
export async function toFacts(
  placed: readonly Placed[],
  page: FragmentOutcome | undefined,
  numberOf: (one: Placed) => number,
  links: LinkMaker,
): Promise<readonly FragmentFacts[]> {
  const ids = new Map(placed.map((one, id) => [one, id]))
  const described = await describeAll(placed)
  const nowMs = currentMs()
  return placed.map((one, id): FragmentFacts => {
    const { seen, container, place, isSure } = one
    const { fragment, bodyMs } = seen
    const why = explainFragment(seen)
    const source = sourceOf(one)
    const entry = described.get(idOf(one))
    const endMs = entry?.freshUntilMs
    const madeAtMs = ageSource(one, entry, nowMs)
    const around = container && ids.get(container)
    return {
      id,
      ...originOf(fragment, links),
      key: fragment.variant.key,
      outcome: source.outcome ?? page ?? 'hit',
      ...(source !== one && { cameIn: source.seen.fragment.site.fragment }),
      ...(source.outcome === undefined && { cameIn: 'page' }),
      ...(around !== undefined && { around }),
      ...(madeAtMs !== undefined && { ageMs: Math.max(nowMs - madeAtMs, 0) }),
      ...(endMs !== undefined && { remainingMs: endMs === null ? null : endMs - nowMs }),
      ...(described.has(idOf(one)) && { isStored: entry !== undefined }),
      isStale: entry?.isStale === true,
      ...(why !== undefined && { why }),
      ...(bodyMs !== undefined && { bodyMs }),
      ...(entry?.bytes !== undefined && { bytes: entry.bytes }),
      tags: tagsOf(one, entry),
      caches: numberOf(one),
      ...(typeof place === 'string' && { unplaced: place }),
      isSure,
    }
  })
}

/** Which fragment it is, and where it comes from. */
export function originOf({ site, alias }: Fragment, links: LinkMaker): Origin {
  const { fragment: name, template, line } = site
  return {
    name,
    alias,
    ...(template !== undefined && { template }),
    ...(line !== undefined && { line }),
    ...links.ofFragment(site, alias),
  }
}

export function toHoleFacts(
  holes: readonly PlacedHole[],
  placed: readonly Placed[],
): readonly HoleFacts[] {
  return holes.map(({ container }, at) => ({
    id: placed.length + at,
    ...(container !== undefined && { around: placed.indexOf(container) }),
  }))
}

/** Whose outcome it shares: its own, or that of what it came along in. */
function sourceOf(one: Placed): Placed {
  let source = one
  while (source.outcome === undefined && source.container !== undefined) source = source.container
  return source
}

/** When its text was made, as far as that can be told. */
function ageSource(
  { seen, outcome }: Placed,
  entry: EntryDescription | undefined,
  nowMs: number,
): number | undefined {
  const { madeAtMs, fragment } = seen
  const { timeout } = fragment
  const isMadeNow = outcome !== undefined && outcome !== 'hit' && outcome !== 'stale'
  if (isMadeNow) return madeAtMs ?? nowMs
  const endMs = entry?.freshUntilMs ?? undefined
  if (endMs === undefined || entry?.isStale === true || timeout === null) return madeAtMs
  const startMs = endMs - timeout * 1000
  // Another process may have made it again since, and its time may be cut to that of what is in it.
  const isOwn = madeAtMs !== undefined && madeAtMs >= startMs - TOLERANCE_MS
  if (isOwn && (startMs > nowMs || Math.abs(madeAtMs - startMs) < TOLERANCE_MS)) return madeAtMs
  return startMs <= nowMs ? startMs : undefined
}

const TOLERANCE_MS = 2_000

const USER_TAG = 't:'

function tagsOf({ seen }: Placed, entry: EntryDescription | undefined): readonly string[] {
  const own = seen.tags.flatMap((tag) =>
    tag.startsWith(USER_TAG) ? [tag.slice(USER_TAG.length)] : [],
  )
  return [...new Set([...own, ...(entry?.tags ?? [])])]
}

async function describeAll(
  placed: readonly Placed[],
): Promise<ReadonlyMap<string, EntryDescription | undefined>> {
  const found = new Map<string, EntryDescription | undefined>()
  const wanted = new Map(placed.map((one) => [idOf(one), one.seen.fragment]))
  const asked = [...wanted].slice(0, MAX_DESCRIBED).map(async ([id, fragment]) => {
    const { key, version } = fragment.variant
    const cache = cachesOf(fragment)?.get(fragment.alias)
    try {
      found.set(id, await cache?.describe(key, version === undefined ? {} : { version }))
    } catch {
      // The store has reported its fault; the page is drawn without.
    }
  })
  let timer: NodeJS.Timeout | undefined
  const limit = new Promise((resolve) => (timer = setTimeout(resolve, MAX_WAIT_MS)))
  await Promise.race([Promise.all(asked), limit])
  clearTimeout(timer)
  return new Map(found)
}

function idOf({ seen: { fragment } }: Placed): string {
  return `${fragment.alias}\n${fragment.variant.storedKey}`
}
