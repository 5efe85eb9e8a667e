import { vi } from 'vitest'

/**
 * A clock that stands still but for what a test lets pass. Only `Date.now` is replaced: timers go on
 * and dates stay dates.
 */
export class SteppedClock {
  #nowMs = 0

  readonly start = (): void => {
    this.#nowMs = Date.now()
    vi.spyOn(Date, 'now').mockImplementation(() => this.#nowMs)
  }

  readonly advance = (seconds: number): void => {
    this.#nowMs = Math.round(this.#nowMs + seconds * 1000)
  }

  readonly stop = (): void => {
    vi.mocked(Date.now).mockRestore()
  }
}
