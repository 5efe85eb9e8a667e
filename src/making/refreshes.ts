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

  /** Whether one is running. */
  has(key: string): boolean {
    return this.#running.get(key)?.isWaitedFor === true
  }

  /** @param patienceMs - Doubled after one that took longer, so that slow ones do not pile up. */
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
