import { hostname } from 'node:os'
import { randomBytes } from 'node:crypto'
import type { CacheCore } from '../../src/backend/core.js'
import { visitStatsOf, type Caches } from '../../src/caches.js'
import type { MaybePromise } from '../../src/maybe-promise.js'
import { neverThrowing } from '../../src/observe/watch.js'
import type { ProcessFigures, ProcessList, ProcessRow } from './api.js'
import { cutText } from './text.js'
import { totalsOf } from './totals.js'

/** Maximum number of processes that are listed. */
const MAX_PROCESSES = 64
const INTERVAL_MS = 5000
/** What a process has told is gone after that. */
const TOLD_MS = 20_000
/** So long after somebody looked, processes tell. */
const ASKED_MS = 60_000
/** It is noted again only after that. */
const ASK_AGAIN_MS = 15_000

/** Places that a process tries for at a time. */
const MAX_ATTEMPTS = 3

const ASKED = 'fragcache.inspector.asked'
const keyOfPlace = (place: number): string => `fragcache.inspector.process.${place}`

/** A process is one, whatever the number of its inspectors and of the copies of this package in it. */
interface ThisProcess {
  readonly id: string
  /** What its inspectors watch. */
  readonly watched: Map<object, Caches>
}

const THIS_PROCESS = Symbol.for('fragcache.inspector.process.1')

const scope = globalThis as { [THIS_PROCESS]?: ThisProcess }

const thisProcess: ThisProcess = (scope[THIS_PROCESS] ??= {
  id: randomBytes(9).toString('base64url'),
  watched: new Map(),
})

/**
 * Tells other processes what this one counted, by a shared cache, and reads what they tell. Each takes a free place
 * for as long as it tells. What is read and written is counted nowhere; a store that fails is asked again later.
 */
export class Processes {
  readonly #timer: NodeJS.Timeout
  readonly #keys: readonly string[]
  readonly #asked: string
  #askedMs = -Infinity

  /** @param caches - Whose figures are among those of this process. */
  constructor(
    private readonly core: CacheCore,
    caches: Caches,
  ) {
    thisProcess.watched.set(this, caches)
    this.#asked = core.checkedKey(ASKED)
    this.#keys = Array.from({ length: MAX_PROCESSES }, (_, place) =>
      core.checkedKey(keyOfPlace(place)),
    )
    const onTime = neverThrowing('inspector')(() => void this.#tellIfAsked())
    this.#timer = setInterval(onTime, INTERVAL_MS).unref()
  }

  close(): void {
    thisProcess.watched.delete(this)
    clearInterval(this.#timer)
  }

  /** All that tell, this one first. */
  async list(): Promise<ProcessList> {
    // Once this is closed it has no figures.
    const own = ownRow()
    await this.#ask()
    const payloads = await this.#try(() => this.core.store.readEntries(this.#keys))
    if (payloads === undefined) return { rows: [own], unreached: this.core.alias }
    const others = new Map<string, ProcessRow>()
    for (const row of payloads.map((payload) => this.#toRow(payload))) {
      // Two inspectors of a process that begin at once take a place each, and go on with the first.
      if (row !== undefined && !others.has(row.id)) others.set(row.id, row)
    }
    others.delete(thisProcess.id)
    return { rows: [own, ...[...others.values()].sort((a, b) => a.pid - b.pid)] }
  }

  async #ask(): Promise<void> {
    if (Date.now() - this.#askedMs < ASK_AGAIN_MS) return
    this.#askedMs = Date.now()
    await this.#write(this.#asked, '1', ASKED_MS)
  }

  async #tellIfAsked(): Promise<void> {
    const asked = await this.#try(() => this.core.store.readEntries([this.#asked]))
    if (asked?.[0] === undefined) return
    for (let attempt = 0; attempt < MAX_ATTEMPTS; attempt++) {
      const place = await this.#placeFor()
      if (place === undefined || !thisProcess.watched.has(this)) return
      const told = JSON.stringify(ownRow())
      const outcome = await this.#write(place.key, told, TOLD_MS, !place.isOwn)
      // Another process was faster where it is refused.
      if (outcome !== 'refused') return
    }
  }

  /** The one that this process has; else one that is free. */
  async #placeFor(): Promise<{ readonly key: string; readonly isOwn: boolean } | undefined> {
    const payloads = await this.#try(() => this.core.store.readEntries(this.#keys))
    if (payloads === undefined) return undefined
    const own = this.#keys.find((_, place) => this.#toRow(payloads[place])?.id === thisProcess.id)
    if (own !== undefined) return { key: own, isOwn: true }
    // By chance, since all processes look for one at the same time.
    const free = this.#keys.filter((_, place) => payloads[place] === undefined)
    const key = free[Math.floor(Math.random() * free.length)]
    return key === undefined ? undefined : { key, isOwn: false }
  }

  /** What lies there may be of anybody. */
  #toRow(payload: unknown): ProcessRow | undefined {
    if (payload === undefined) return undefined
    try {
      const { value } = this.core.store.unpackPayload(payload)
      const told = JSON.parse(String(value)) as Partial<Record<keyof ProcessRow, unknown>>
      const { id, host } = told
      if (typeof id !== 'string' || typeof host !== 'string') return undefined
      const numbers = Object.fromEntries(FIGURES.map((name) => [name, told[name]]))
      if (!Object.values(numbers).every(isFigure)) return undefined
      return {
        ...(numbers as Pick<ProcessRow, (typeof FIGURES)[number]>),
        id: cutText(id, 50),
        host: cutText(host, 100),
        isThis: false,
      }
    } catch {
      return undefined
    }
  }

  async #write(key: string, text: string, forMs: number, ifAbsent = false): Promise<unknown> {
    const { store } = this.core
    const entry = {
      key,
      payload: store.packValue(text, undefined),
      expiresAtMs: Date.now() + forMs,
      ...(ifAbsent && { ifAbsent }),
    }
    const outcomes = await this.#try(() => store.writeEntries([entry]))
    return outcomes?.[0]
  }

  #try<T>(action: () => MaybePromise<T>): MaybePromise<T | undefined> {
    return this.core.tryRead(action)
  }
}

/** One that sums of many stay exact with. */
function isFigure(value: unknown): boolean {
  return typeof value === 'number' && value >= 0 && value <= Number.MAX_SAFE_INTEGER / MAX_PROCESSES
}

const FIGURES = ['pid', 'sinceMs', 'hits', 'misses', 'errors', 'timeSavedMs', 'rssBytes'] as const

function ownRow(): ProcessRow {
  const { id, watched } = thisProcess
  const sets = [...new Set(watched.values())].map(
    (caches) => [caches, visitStatsOf(caches)] as const,
  )
  const figures: ProcessFigures = {
    ...totalsOf(sets),
    sinceMs: Math.min(...sets.map(([, { sinceMs }]) => sinceMs)),
    rssBytes: process.memoryUsage.rss(),
  }
  return { ...figures, id, pid: process.pid, host: hostname(), isThis: true }
}
