import type { IncomingMessage, ServerResponse } from 'node:http'
import type { StoredResponse } from '../../src/http/stored-response.js'
import type { MaybePromise } from '../../src/maybe-promise.js'
import { HoleHeaders } from './hole-headers.js'
import type { PageHoleOptions, Settings } from './settings.js'
import { fillPage, isFillable, VisitorHoles } from './visitor-holes.js'

const EMPTY = Buffer.alloc(0)

/** Fills the holes of one response, and knows which headers were set while doing so. */
export class Filling {
  #headers: HoleHeaders | undefined
  #holes: VisitorHoles | undefined

  /** @param outer - That of an outer cache, which watches the headers already. */
  constructor(
    private readonly req: IncomingMessage,
    private readonly res: ServerResponse,
    outer: Filling | undefined,
  ) {
    this.#headers = outer?.headers
  }

  /** `undefined`: nothing has been filled. */
  get headers(): HoleHeaders | undefined {
    return this.#headers
  }

  /** Whether headers were set to fill holes, which makes the response per-user even if its page has no holes. */
  get hasHeaders(): boolean {
    return this.#headers !== undefined && this.#headers.names.size > 0
  }

  /** What renders the holes for this request; from now on it is watched which headers are set for that. */
  of(options: PageHoleOptions): VisitorHoles {
    this.#headers ??= new HoleHeaders(this.res)
    return (this.#holes ??= new VisitorHoles(options, this.req, this.res))
  }

  /**
   * Fills the holes of a stored response.
   *
   * @returns `undefined`: no engine has one of the holes any more.
   * @throws What a hole throws or reject with.
   */
  fill(page: StoredResponse, { holes }: Settings): MaybePromise<Buffer | undefined> {
    if (holes === undefined || !isFillable(page, holes)) return undefined
    // HEAD gets nothing of the body.
    if (this.req.method === 'HEAD') return EMPTY
    return fillPage(page, this.of(holes))
  }
}
