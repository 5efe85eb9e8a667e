import type { ServerResponse } from 'node:http'
import { isPromise } from '../../src/maybe-promise.js'
import type { Authorize } from './options.js'
import { isLocal, type ExpressRequest } from './security.js'

/** What came of asking who may: it is answered already where whoever was asked did so. */
export type Access = 'allowed' | 'denied' | 'answered'

/**
 * Asks whether a request may pass.
 *
 * @returns Never rejects: in doubt it may not.
 */
export async function askAccess(
  authorize: Authorize | undefined,
  req: ExpressRequest,
  res: ServerResponse,
): Promise<Access> {
  if (authorize === undefined) return isLocal(req) ? 'allowed' : 'denied'
  let isAllowed: boolean
  try {
    isAllowed = await decide(authorize, req, res)
  } catch {
    isAllowed = false
  }
  // Whoever has answered, by a redirect to a sign-in for example, has decided.
  if (res.headersSent || res.writableEnded || res.destroyed) return 'answered'
  return isAllowed ? 'allowed' : 'denied'
}

/** Whoever says by a value says nothing by this. */
const ignore = (): void => undefined

function decide(
  authorize: Authorize,
  req: ExpressRequest,
  res: ServerResponse,
): boolean | Promise<boolean> {
  if (!authorize.isMiddleware) {
    const answer = authorize.ask(req, res, ignore)
    return isPromise(answer) ? answer.then((isAllowed) => isAllowed === true) : answer === true
  }
  return new Promise((resolve, reject) => {
    // A middleware that answers calls nobody back.
    res.once('close', () => resolve(false))
    const given = authorize.ask(req, res, (error) => resolve(error === undefined || error === null))
    if (isPromise(given)) given.catch(reject)
  })
}
