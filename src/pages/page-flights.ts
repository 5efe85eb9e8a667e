import { BoundedMemo } from '../bounded-memo.js'
import type { StoredResponse } from '../http/stored-response.js'

/** What the view of one request came to. */
export interface Landing {
  /** As it is stored; `undefined` if nothing is that others could have. */
  readonly page: StoredResponse | undefined
  /** The view failed, and this is an older page that stands in for it. */
  readonly standsIn: boolean
  /** It came to no end that would say anything of the page: somebody else may try. */
  readonly isUndecided: boolean
}

export const NOTHING: Landing = Object.freeze({
  page: undefined,
  standsIn: false,
  isUndecided: false,
})

export const UNDECIDED: Landing = Object.freeze({ ...NOTHING, isUndecided: true })

/** The run of a view for one page, which other requests of the page may wait for. */
export class PageFlight {
  readonly landed: Promise<Landing>
  #land: (landing: Landing) => void = () => undefined
  #isOver = false
  #hasBegun = false
  #recheck: Promise<boolean> | undefined
  readonly #limit: NodeJS.Timeout

  /**
   * @param onOver - Told whether the answer had begun when the time was up: then it is a stream that
   *   is not worth waiting for, and no view that is slow.
   */
  constructor(
    limitMs: number,
    private readonly onOver: (isStream: boolean) => void,
  ) {
    this.landed = new Promise((resolve) => (this.#land = resolve))
    // A view that hangs holds up nobody for longer.
    this.#limit = setTimeout(() => this.#end(NOTHING, this.#hasBegun), limitMs).unref()
  }

  /** The first bytes are out. */
  begin(): void {
    this.#hasBegun = true
  }

  /** What it came to, or nothing if it takes longer. */
  async landedBy(untilMs: number): Promise<Landing> {
    let timer: NodeJS.Timeout | undefined
    const late = new Promise<Landing>((resolve) => {
      timer = setTimeout(() => resolve(NOTHING), untilMs - Date.now()).unref()
    })
    try {
      return await Promise.race([this.landed, late])
    } finally {
      clearTimeout(timer)
    }
  }

  /** Looks once, for all who waited, whether what it came to is still right. */
  recheck(look: () => Promise<boolean>): Promise<boolean> {
    this.#recheck ??= look()
    return this.#recheck
  }

  /** Ends the wait; only the first time counts. */
  land(landing: Landing = NOTHING): void {
    this.#end(landing, false)
  }

  #end(landing: Landing, isStream: boolean): void {
    if (this.#isOver) return
    this.#isOver = true
    clearTimeout(this.#limit)
    this.onOver(isStream)
    this.#land(landing)
  }
}

/** A mark counts for so long. */
const MARK_MS = 10_000

/** The views that are running, by the key of their page. */
export class PageFlights {
  readonly #flights = new Map<string, PageFlight>()
  readonly #refreshing = new Set<string>()
  readonly #marks = new BoundedMemo<number>(() => 16)

  of(key: string): PageFlight | undefined {
    return this.#flights.get(key)
  }

  /** Begins one; there must be none of this key. */
  lead(key: string, profile: string, limitMs: number): PageFlight {
    const flight: PageFlight = new PageFlight(limitMs, (isStream) => {
      this.#flights.delete(key)
      if (isStream) this.mark(key, profile)
    })
    this.#flights.set(key, flight)
    return flight
  }

  /** @returns Whether nobody makes the page again in the background yet. */
  beginRefresh(key: string): boolean {
    if (this.#refreshing.has(key)) return false
    this.#refreshing.add(key)
    return true
  }

  endRefresh(key: string): void {
    this.#refreshing.delete(key)
  }

  /**
   * Whether it is known of late that the answers to such requests are for one visitor each, so that
   * nobody need wait.
   */
  isMarked(key: string, profile: string): boolean {
    const untilMs = this.#marks.get(key + profile)
    return untilMs !== undefined && Date.now() < untilMs
  }

  mark(key: string, profile: string): void {
    this.#marks.set(key + profile, Date.now() + MARK_MS)
  }

  unmark(key: string, profile: string): void {
    this.#marks.delete(key + profile)
  }
}

/** What any browser, and any proxy before us, may send without a view caring much. */
const ORDINARY: ReadonlySet<string> = new Set([
  'accept',
  'accept-charset',
  'accept-encoding',
  'accept-language',
  'cache-control',
  'connection',
  'dnt',
  'forwarded',
  'host',
  'if-modified-since',
  'if-none-match',
  'keep-alive',
  'pragma',
  'priority',
  'referer',
  'sec-gpc',
  'te',
  'traceparent',
  'tracestate',
  'upgrade-insecure-requests',
  'user-agent',
  'via',
  'x-forwarded-for',
  'x-forwarded-host',
  'x-forwarded-port',
  'x-forwarded-proto',
  'x-real-ip',
  'x-request-id',
])

/**
 * What kind of request it is: the names of all headers that not everybody sends, `Cookie` among them.
 * What a request with odd headers found out counts for requests with the same ones, and so can't hold
 * for others that its page is private.
 */
export function profileOf(headers: Readonly<Record<string, unknown>>): string {
  let profile = ''
  for (const name of Object.keys(headers).sort()) {
    // Of HTTP/2: every request has them.
    if (name.startsWith(':')) continue
    if (!ORDINARY.has(name) && !/^sec-(?:ch|fetch)-/.test(name)) profile += `\n${name}`
  }
  return profile
}
