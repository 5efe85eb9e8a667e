/**
 * Judges what processes recorded while they read and invalidated the same entries.
 *
 * A thing is something whose state is a number that only grows. An entry is made from things. From the
 * moment a promise is given ("thing x is at least n for whatever can be reached by this handle"), no
 * read that begins later may give a smaller number. The types are in `checker.d.mts`.
 */

export function judge(events, bounds = {}) {
  const of = (kind) => events.filter((event) => event.kind === kind)
  const promises = of('promise')
  const reads = of('read')
  const all = new Ledger(promises)
  const hard = new Ledger(promises.filter(({ soft }) => !soft))
  const violations = [
    ...of('broken').map((event) => ({ kind: 'broken', text: event.text, staleMs: 0, event })),
    ...reads.flatMap((read) => faultsOf(read, read.mayBeStale ? hard : all, bounds)),
  ]
  return {
    reads: reads.length,
    promises: promises.length,
    faults: of('fault').length,
    failures: of('failed').length,
    worstMs: violations.reduce((worst, { staleMs }) => Math.max(worst, staleMs), 0),
    violations,
  }
}

function faultsOf(read, ledger, bounds) {
  const { entry, gave, parts } = read
  if (gave !== entry) {
    const text = `asked for ${entry} and was given ${gave}`
    return [{ kind: 'mixed up', text, staleMs: 0, event: read }]
  }
  return parts.flatMap((part) => {
    const { thing, number, known } = part
    if (!Number.isInteger(number) || number > known) {
      const text = `${entry} gave ${thing} = ${number}, which was ${known} at most`
      return [{ kind: 'future', text, staleMs: 0, event: read }]
    }
    const broken = oldestBroken(read, part, ledger, bounds)
    if (broken === undefined) return []
    const staleMs = read.begin - broken.end
    const text = `${entry} gave ${thing} = ${number}, ${staleMs.toFixed(1)} ms after ${broken.handle} promised ${broken.number}`
    return [{ kind: 'stale', text, staleMs, event: read, promise: broken }]
  })
}

/** The first promise that a read broke, of those that no bound excuses. */
function oldestBroken(read, { thing, number, handles }, ledger, bounds) {
  let oldest
  for (const handle of handles) {
    const promise = ledger.firstAbove(thing, handle, number)
    if (promise === undefined || isExcused(read, promise, bounds)) continue
    if (oldest === undefined || promise.end < oldest.end) oldest = promise
  }
  return oldest
}

function isExcused(read, promise, { after = 0, handles = {}, joiner = 0 }) {
  const [kind] = promise.handle.split(':', 1)
  if (read.begin <= promise.end + Math.max(after, handles[kind] ?? 0)) return true
  const mayHaveJoined = read.since !== undefined && read.since <= promise.end
  return mayHaveJoined && read.end - read.begin <= joiner
}

/** Finds promises by thing and handle, without going through all of them for each read. */
class Ledger {
  /** In the order they were given, without those that promise no more than one before. */
  #risingByName = new Map()

  constructor(promises) {
    for (const promise of promises.toSorted(byEnd)) {
      const name = nameOf(promise.thing, promise.handle)
      const rising = this.#risingByName.get(name) ?? []
      this.#risingByName.set(name, rising)
      const highest = rising.at(-1)
      if (highest === undefined || promise.number > highest.number) rising.push(promise)
    }
  }

  /** The first one that promises more than a number. */
  firstAbove(thing, handle, number) {
    const rising = this.#risingByName.get(nameOf(thing, handle)) ?? []
    let [low, high] = [0, rising.length]
    while (low < high) {
      const middle = (low + high) >> 1
      if (rising[middle].number > number) high = middle
      else low = middle + 1
    }
    return rising[low]
  }
}

function nameOf(thing, handle) {
  return `${thing} ${handle}`
}

const SHOWN_BEFORE_MS = 500
const SHOWN = 12

export function historyAround({ event, promise }, events) {
  if (promise === undefined) return [event]
  const fromMs = promise.begin - SHOWN_BEFORE_MS
  const between = events.filter(({ begin, end }) => end >= fromMs && begin <= event.end)
  const told = between.filter((one) => concerns(one, event, promise))
  const last = told.filter((one) => one !== promise).sort(byEnd)
  return [promise, ...last.slice(1 - SHOWN)].sort(byEnd)
}

function concerns(one, { entry }, { thing }) {
  return one.kind === 'fault' || one.thing === thing || one.entry === entry
}

function byEnd(a, b) {
  return a.end - b.end
}
