import type { IncomingMessage, ServerResponse } from 'node:http'
import { isConditional } from '../../src/http/conditional.js'
import type { HeaderFields } from '../../src/http/header-values.js'
import type { StoredResponse } from '../../src/http/stored-response.js'
import { asksForAny, hasAlready } from './client-conditions.js'
import { unnoticed } from './unnoticed.js'
import { replaceConditions, restoreConditions } from './validators.js'

/** What a client asks on condition, where its handler is asked something else. */
export class AskedConditions {
  #asked: Pick<IncomingMessage, 'headers' | 'rawHeaders'> | undefined

  constructor(private readonly req: IncomingMessage) {}

  /** The headers as the client sent them. */
  get headers(): HeaderFields {
    return this.#asked?.headers ?? this.req.headers
  }

  /**
   * Lets the handler be asked another question.
   *
   * @param page - Whether that is right still; left out: for the whole.
   */
  replace(page?: StoredResponse): void {
    unnoticed(() => {
      const { headers, rawHeaders } = this.req
      this.#asked ??= { headers, rawHeaders }
      replaceConditions(this.req, page)
    })
  }

  /** The handler has read ours; the layers around us want to know what the client asked. */
  giveBack(): void {
    if (this.#asked !== undefined) restoreConditions(this.req, this.#asked)
  }

  /** Whether the client wants what has changed only, and it is for us to tell it. */
  isAskedForChange({ statusCode }: ServerResponse): boolean {
    if (this.#asked === undefined || statusCode < 200 || statusCode >= 300) return false
    return isConditional(this.#asked.headers) && !asksForAny(this.#asked.headers)
  }

  /** Whether the client has what an answer would bring. */
  isMetBy(res: ServerResponse): boolean {
    if (this.#asked === undefined || !this.isAskedForChange(res)) return false
    return hasAlready(this.#asked.headers, res.getHeaders(), res, Date.now())
  }
}
