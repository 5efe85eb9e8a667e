import type { IncomingMessage } from 'node:http'
import { isSignedIn } from './request.js'

/** Properties of a request that the usual middlewares give it for a visitor. */
const SIGNS = ['session', 'user', 'auth'] as const

/** What layers behind the cache make known of the visitor, who was not known when the cache was asked. */
export class SignInBehind {
  readonly #hadUser: boolean
  readonly #hadSession: boolean

  /** @param isOutermost - Nothing can be in front of the cache. */
  constructor(
    private readonly req: IncomingMessage,
    isOutermost: boolean,
  ) {
    this.#hadUser = isOutermost || isSignedIn(req)
    this.#hadSession = 'session' in req
  }

  /** Whether a layer behind gave the request a user. On a hit that layer does not run. */
  get hasUser(): boolean {
    return !this.#hadUser && isSignedIn(this.req)
  }

  /**
   * What the visitor is known by that a layer behind gave the request, such as `req.session`; `undefined` if there is
   * nothing, or if it is no matter of order.
   *
   * @remarks Where a session is in front, a handler may sign its visitor in behind. Cookies alone say nothing: what
   *   makes something of them that the cache does not know belongs behind it.
   * @param isKnown - The visitor is known now.
   */
  sign(isKnown: boolean): string | undefined {
    if (this.#hadSession || (!isKnown && !('session' in this.req))) return undefined
    const name = SIGNS.find((one) => one in this.req)
    return name === undefined ? 'what isPersonal looks at' : `req.${name}`
  }
}
