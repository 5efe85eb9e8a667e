import type { StoredResponse } from '../http/stored-response.js'
import { Flight } from '../making/flight.js'
import type { Frame } from '../making/frame.js'
import type { Makings } from '../making/makings.js'

/** What requests get that wait for a page; without it they look the page up again. */
export interface LandedPage {
  /** The page as it is stored; `undefined`: there is none that could be shared. */
  readonly page: StoredResponse | undefined
  /** The handler failed, and this is an older page. */
  readonly standsIn: boolean
}

/** Each request that waits has to go to the handler. */
export const UNSHARED: LandedPage = Object.freeze({ page: undefined, standsIn: false })

/** Has a page rendered for all requests that ask for it meanwhile. */
export class PageLead {
  readonly flight = new Flight<LandedPage>([])
  #hasBegun = false
  #isOver = false
  readonly #limit: NodeJS.Timeout

  /**
   * @param frame - The frame in which the page is requested.
   * @param limitMs - The others wait for the handler no longer than this.
   * @param onStream - Called if the time is up while the response is being sent: a stream is not worth waiting
   *   for.
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
      this.land(UNSHARED)
    }, limitMs).unref()
  }

  /** The first bytes of the response are sent. */
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
