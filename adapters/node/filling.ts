import type { IncomingMessage, ServerResponse } from 'node:http'
import type { StoredResponse } from '../../src/http/stored-response.js'
import type { MaybePromise } from '../../src/maybe-promise.js'
import { HoleHeaders } from './hole-headers.js'
import type { PageHoleOptions, Settings } from './settings.js'
import { fillPage, isFillable, VisitorHoles } from './visitor-holes.js'

const EMPTY = Buffer.alloc(0)

/** Fills holes for the visitor of one response, and knows which headers came of that. */
export class Filling {
  #headers: HoleHeaders | undefined
  #holes: VisitorHoles | undefined

  /** @param outer - Of a cache further out, whose headers were watched already. */
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

  /** Whether what fills holes has set headers, though the page may have none: they are one visitor's. */
  get hasHeaders(): boolean {
    return this.#headers !== undefined && this.#headers.names.size > 0
  }

  /** Whoever fills the holes for this visitor; the headers that are set for it are watched. */
  of(options: PageHoleOptions): VisitorHoles {
    this.#headers ??= new HoleHeaders(this.res)
    return (this.#holes ??= new VisitorHoles(options, this.req, this.res))
  }

  /**
   * Fills the holes of a stored response.
   *
   * @returns `undefined`: one of them is not there any more.
   * @throws What a hole throws, also by promise.
   */
  fill(page: StoredResponse, { holes }: Settings): MaybePromise<Buffer | undefined> {
    if (holes === undefined || !isFillable(page, holes)) return undefined
    // HEAD is told nothing of the body.
    if (this.req.method === 'HEAD') return EMPTY
    return fillPage(page, this.of(holes))
  }
}
