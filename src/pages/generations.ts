import type { CacheCore } from '../backend/core.js'
import { whyUnwritten, type CacheRefusal } from '../backend/refusal.js'
import type { WriteOutcome } from '../backend/store.js'
import { currentMs } from '../current-time.js'
import { chain, type MaybePromise } from '../maybe-promise.js'
import { newTagVersion } from '../tags.js'
import type { KnownUri } from './known-uris.js'
import type { PageLookup } from './page.js'
import { NO_TAG_NAMES } from './page-reader.js'
import { decodeGeneration, encodeGeneration } from './page-records.js'

/** How long a generation is kept before a page is stored in it: no handler takes longer. */
const GENERATION_SECONDS = 3600

/** The generation that a page is rendered in, or why there is none. */
type BegunIn = Pick<PageLookup, 'generation' | 'refusal'>

/**
 * The generation that a page is rendered in. If there is none, one is stored now: without it an invalidation by
 * another process while the handler runs would go unnoticed.
 */
export function generationOf(
  cache: CacheCore,
  { generationKey: key }: KnownUri,
  { generation }: PageLookup,
): MaybePromise<BegunIn> {
  if (generation !== undefined || !cache.isShared) return { generation }
  const own = newTagVersion()
  const expiresAtMs = currentMs() + GENERATION_SECONDS * 1000
  const value = encodeGeneration({ generation: own, invalidated: false, expiresAtMs })
  const storedKey = cache.checkedKey(key)
  const stored = cache.tryStore([key], [{ storedKey, value, expiresAtMs, ifAbsent: true }])
  return chain(stored, (outcomes) => {
    if (outcomes[0] !== 'refused') return begunBy(own, outcomes)
    const found = cache.tryLookup([key], [storedKey], NO_TAG_NAMES, { isCurrent: true })
    return chain(found, (there) => {
      if (there === undefined) return { generation: undefined, refusal: 'cache-failed' }
      const known = decodeGeneration(there.hits[0]?.value)?.generation
      if (known !== undefined) return { generation: known }
      // The record is damaged, and has to be replaced.
      const mended = cache.tryStore([key], [{ storedKey, value, expiresAtMs }])
      return chain(mended, (again) => begunBy(own, again))
    })
  })
}

function begunBy(
  generation: string,
  [outcome = 'failed']: readonly (WriteOutcome | CacheRefusal)[],
): BegunIn {
  const refusal = whyUnwritten(outcome)
  return refusal === undefined ? { generation } : { generation: undefined, refusal }
}
