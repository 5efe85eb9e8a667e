import { chain, isPromise, type MaybePromise } from '../maybe-promise.js'
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
  const [only] = requests
  if (only !== undefined && requests.length === 1) {
    return chain(writeRequest(only, store, counts), (outcome) => [outcome])
  }
  const kept = requests.filter(isKept)
  const gone = requests.filter((request) => !isKept(request))
  return chain(remove(gone, store), () => {
    if (kept.length === 0) return requests.map(() => 'stored')
    const write = (entries: readonly WriteEntry<unknown>[]) => store.writeEntries(entries)
    return chain(chain(toEntries(kept, store, counts), write), (outcomes) => {
      // Nothing outdated may be served instead.
      const refused = kept.filter((one, i) => isOutdated(one, outcomes[i]))
      return chain(remove(refused, store), () => {
        if (kept.length === requests.length) return outcomes
        let next = 0
        return requests.map((one) => (isKept(one) ? (outcomes[next++] ?? 'failed') : 'stored'))
      })
    })
  })
}

/** The same of a single one, which is what most calls write. */
export function writeRequest(
  request: StoreRequest,
  store: CompleteStore,
  counts: Counts,
): MaybePromise<WriteOutcome> {
  if (!isKept(request)) return chain(remove([request], store), () => 'stored')
  const packed = store.packToWrite(request.value, withStamp(request.tags, request.stamp))
  const outcome = isPromise(packed)
    ? packed.then((payload) => store.writeEntry(toEntry(request, payload, store, counts)))
    : store.writeEntry(toEntry(request, packed, store, counts))
  if (isPromise(outcome)) return outcome.then((written) => settled(request, written, store))
  return settled(request, outcome, store)
}

/** Nothing outdated may be served instead of what is too large. */
function settled(
  request: StoreRequest,
  outcome: WriteOutcome,
  store: CompleteStore,
): MaybePromise<WriteOutcome> {
  if (!isOutdated(request, outcome)) return outcome
  return chain(remove([request], store), () => outcome)
}

/** Whether what lies there is, or may be, older than what was too large to take its place. */
function isOutdated(
  { ifAbsent, replacing }: StoreRequest,
  outcome: WriteOutcome | undefined,
): boolean {
  return outcome === 'too_large' && (ifAbsent !== true || replacing !== undefined)
}

function isKept({ expiresAtMs }: StoreRequest): boolean {
  return expiresAtMs === null || expiresAtMs > 0
}

function remove(requests: readonly StoreRequest[], store: CompleteStore): MaybePromise<unknown> {
  if (requests.length === 0) return undefined
  return store.removeEntries(requests.map(({ storedKey }) => storedKey))
}

function toEntries(
  requests: readonly StoreRequest[],
  store: CompleteStore,
  counts: Counts,
): MaybePromise<readonly WriteEntry<unknown>[]> {
  const payloads = requests.map(({ value, tags, stamp }) =>
    store.packToWrite(value, withStamp(tags, stamp)),
  )
  const done = payloads.some(isPromise) ? Promise.all(payloads) : payloads
  return chain(done, (packed) =>
    requests.map((request, i) => toEntry(request, packed[i], store, counts)),
  )
}

function toEntry(
  { storedKey: key, expiresAtMs, ifAbsent = false, replacing }: StoreRequest,
  payload: unknown,
  store: CompleteStore,
  counts: Counts,
): WriteEntry<unknown> {
  const bytes = store.knownSizeOf(payload)
  if (bytes !== undefined) counts.bytesWritten = (counts.bytesWritten ?? 0) + bytes
  return replacing === undefined
    ? { key, payload, expiresAtMs, ifAbsent }
    : { key, payload, expiresAtMs, ifAbsent, replacing }
}
