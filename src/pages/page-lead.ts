import type { StoredResponse } from '../http/stored-response.js'
import { Flight } from '../making/flight.js'
import type { Frame } from '../making/frame.js'
import type { Makings } from '../making/makings.js'

/** What a handler's run for one page brings those who wait; nothing at all tells them to ask again. */
export interface LandedPage {
  /** As it is stored; `undefined`: nothing that others could have. */
  readonly page: StoredResponse | undefined
  /** The handler failed, and this is an older page that stands in for it. */
  readonly standsIn: boolean
}

/** Each has to make it alone. */
export const NOBODYS: LandedPage = Object.freeze({ page: undefined, standsIn: false })

/** Who makes a page for all who ask for it meanwhile. */
export class PageLead {
  readonly flight = new Flight<LandedPage>([])
  #hasBegun = false
  #isOver = false
  readonly #limit: NodeJS.Timeout

  /**
   * @param frame - What the page is asked for in.
   * @param limitMs - A handler that hangs holds up nobody for longer.
   * @param onStream - Told if the time is up while the answer is on its way: a stream is not worth
   *   waiting for.
   */
  constructor(
    private readonly key: string,
    private readonly makings: Makings<LandedPage>,
    frame: Frame | undefined,
    limitMs: number,
    onStream: () => void,
  ) {
    makings.flights.takeOff(key, this.flight, frame)
    this.#limit = setTimeout(() => {
      if (this.#hasBegun) onStream()
      this.land(NOBODYS)
    }, limitMs).unref()
  }

  /** The first bytes are out. */
  begin(): void {
    this.#hasBegun = true
  }

  /** Ends the wait; only the first time counts. */
  land(landed: LandedPage | undefined): void {
    if (this.#isOver) return
    this.#isOver = true
    clearTimeout(this.#limit)
    this.flight.land(landed)
    this.makings.flights.release(this.key, this.flight)
  }
}
