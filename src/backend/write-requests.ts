import { chain, type MaybePromise } from '../maybe-promise.js'
import { withStamp } from '../stamp.js'
import type { Counts } from '../observe/counts.js'
import type { CompleteStore } from './complete-store.js'
import type { StoreRequest } from './entries.js'
import type { WriteEntry, WriteOutcome } from './store.js'

/** Writes values with their tags and ages. What is past its deadline is removed, and counts as stored. */
export function writeRequests(
  requests: readonly StoreRequest[],
  store: CompleteStore,
  counts: Counts,
): MaybePromise<readonly WriteOutcome[]> {
  const kept = requests.filter(isKept)
  const gone = requests.filter((request) => !isKept(request))
  return chain(remove(gone, store), () => {
    if (kept.length === 0) return requests.map(() => 'stored')
    const entries = kept.map((request) => toEntry(request, store, counts))
    return chain(store.writeEntries(entries), (outcomes) => {
      // Nothing outdated may be served instead.
      const refused = kept.filter((one, i) => outcomes[i] === 'too_large' && !isConditional(one))
      return chain(remove(refused, store), () => {
        if (kept.length === requests.length) return outcomes
        let next = 0
        return requests.map((one) => (isKept(one) ? (outcomes[next++] ?? 'failed') : 'stored'))
      })
    })
  })
}

function isKept({ expiresAtMs }: StoreRequest): boolean {
  return expiresAtMs === null || expiresAtMs > 0
}

function isConditional({ ifAbsent, replacing }: StoreRequest): boolean {
  return ifAbsent === true || replacing !== undefined
}

function remove(requests: readonly StoreRequest[], store: CompleteStore): MaybePromise<unknown> {
  if (requests.length === 0) return undefined
  return store.removeEntries(requests.map(({ storedKey }) => storedKey))
}

function toEntry(request: StoreRequest, store: CompleteStore, counts: Counts): WriteEntry<unknown> {
  const { storedKey: key, value, expiresAtMs, tags, stamp, ifAbsent = false, replacing } = request
  const payload = store.packValue(value, withStamp(tags, stamp))
  const bytes = store.sizeOfPayload(payload)
  if (bytes !== undefined) counts.bytesWritten = (counts.bytesWritten ?? 0) + bytes
  const entry = { key, payload, expiresAtMs, ifAbsent }
  return replacing === undefined ? entry : { ...entry, replacing }
}
