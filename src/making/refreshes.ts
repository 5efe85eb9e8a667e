import { currentMs } from '../current-time.js'
import { InFlight } from './in-flight.js'

/** A making in the background, while the entry that was found is served. */
export class Refresh extends InFlight {
  readonly #untilMs: number

  /** @param patienceMs - After so long another may begin: this one may hang. */
  constructor(
    readonly patienceMs: number,
    private readonly onEnd: (refresh: Refresh) => void,
  ) {
    super()
    this.#untilMs = currentMs() + patienceMs
  }

  get isWaitedFor(): boolean {
    return currentMs() < this.#untilMs
  }

  override end(): void {
    super.end()
    this.onEnd(this)
  }
}

/** What is being made in the background over one cache, by stored key. */
export class Refreshes {
  readonly #running = new Map<string, Refresh>()

  /** Whether one is running whose result is going to be stored. */
  has(key: string): boolean {
    const running = this.#running.get(key)
    return running?.isDiscarded === false && running.isWaitedFor
  }

  /** @param patienceMs - Doubled after one that took longer, so that slow ones do not pile up. */
  begin(key: string, patienceMs: number): Refresh {
    const before = this.#running.get(key)
    let patience = patienceMs
    // One that hangs since an outage, and was overtaken, says nothing of the time since.
    if (before?.isDiscarded === false) patience = before.patienceMs * (before.isWaitedFor ? 1 : 2)
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
   * Called before a result is stored: those that began earlier must not overwrite it.
   *
   * @param own - The refresh that made it, if it was one.
   */
  supersede(key: string, own: Refresh | undefined): void {
    const earlier = own === undefined ? this.#running.get(key) : own.replaced
    earlier?.discard()
  }

  /** What is being made is not stored: of one key, or of all. */
  forget(key?: string): void {
    for (const one of key === undefined ? [...this.#running.keys()] : [key]) {
      this.#running.get(one)?.discard()
      this.#running.delete(one)
    }
  }
}
