import { InFlight } from './in-flight.js'

/** A making in the background, while the entry that was found is served. */
export class Refresh extends InFlight {
  readonly #untilMs: number

  /** @param patienceMs - For so long it is waited for before another may begin: it may hang. */
  constructor(
    readonly patienceMs: number,
    private readonly onEnd: (refresh: Refresh) => void,
  ) {
    super()
    this.#untilMs = Date.now() + patienceMs
  }

  get isWaitedFor(): boolean {
    return Date.now() < this.#untilMs
  }

  override end(): void {
    super.end()
    this.onEnd(this)
  }
}

/** What is made in the background over one cache, by stored key. */
export class Refreshes {
  readonly #running = new Map<string, Refresh>()

  /** Whether one is at it, so that nobody else has to. */
  has(key: string): boolean {
    return this.#running.get(key)?.isWaitedFor === true
  }

  /** @param patienceMs - Doubled after one that took longer: what is slow is not to be run ever more often. */
  begin(key: string, patienceMs: number): Refresh {
    const before = this.#running.get(key)
    const patience = before === undefined ? patienceMs : 2 * before.patienceMs
    const refresh = new Refresh(patience, (ended) => this.#ended(key, ended))
    refresh.takePlaceOf(before)
    this.#running.set(key, refresh)
    return refresh
  }

  #ended(key: string, refresh: Refresh): void {
    if (this.#running.get(key) !== refresh) return
    const next = refresh.successor
    if (next === undefined) this.#running.delete(key)
    else this.#running.set(key, next)
  }

  /**
   * Lets none of those that began before something that is going to be stored take its place.
   *
   * @param own - What that was made by, if by one of them.
   */
  supersede(key: string, own: Refresh | undefined): void {
    const earlier = own === undefined ? this.#running.get(key) : own.replaced
    earlier?.discard()
  }

  /** What is on its way is not to be kept: of one key, or of all. */
  forget(key?: string): void {
    for (const one of key === undefined ? [...this.#running.keys()] : [key]) {
      this.#running.get(one)?.discard()
      this.#running.delete(one)
    }
  }
}
