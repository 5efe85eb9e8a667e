import type { ServerResponse } from 'node:http'
import { textOfError } from '../../src/error-text.js'
import { show } from '../../src/errors.js'
import { isPromise } from '../../src/maybe-promise.js'
import type { Authorize } from './options.js'
import { isLocal, type ExpressRequest } from './security.js'

/** A middleware that takes longer to decide is reported. */
const PATIENCE_MS = 5000

/** The result of the access check: `answered` if the option has answered the request itself. */
export type InspectorAccess = 'allowed' | 'denied' | 'answered'

/**
 * Asks whether a request may pass.
 *
 * @returns Never rejects: in doubt it may not.
 */
export async function askAccess(
  authorize: Authorize | undefined,
  req: ExpressRequest,
  res: ServerResponse,
): Promise<InspectorAccess> {
  if (authorize === undefined) return isLocal(req) ? 'allowed' : 'denied'
  let isAllowed: boolean
  try {
    isAllowed = await decide(authorize, req, res)
  } catch (error) {
    warnOnce(authorize, `threw ${textOfError(error)}, and who asked was refused`)
    isAllowed = false
  }
  // A function that has answered, by a redirect to a sign-in for example, has decided.
  if (res.headersSent || res.writableEnded || res.destroyed) return 'answered'
  return isAllowed ? 'allowed' : 'denied'
}

/** What was said of whom already, once for each kind of fault. */
const warned = new WeakMap<Authorize, Set<string>>()

function warnOnce(authorize: Authorize, fault: string): void {
  const known = warned.get(authorize) ?? new Set<string>()
  warned.set(authorize, known)
  const kind = fault.split(' ')[0] as string
  if (known.has(kind)) return
  known.add(kind)
  process.emitWarning(
    `${authorize.of}: authorize ${fault}; give (req) => true for those who may; reported once`,
    { type: 'CacheInspectorWarning', code: 'FRAGCACHE_INSPECTOR_AUTHORIZE' },
  )
}

/** Only `true` itself allows: what is merely not empty may be a mistake. */
function isTrue(authorize: Authorize, answer: unknown): boolean {
  if (answer === true) return true
  if (answer)
    warnOnce(authorize, `gave ${nameOf(answer)} instead of true, and the request was refused`)
  return false
}

/** A text or an object may be a secret of the visitor's. */
function nameOf(answer: unknown): string {
  return typeof answer === 'string' ? 'a string' : show(answer)
}

/** A function that decides by its return value ignores this. */
const ignore = (): void => undefined

function decide(
  authorize: Authorize,
  req: ExpressRequest,
  res: ServerResponse,
): boolean | Promise<boolean> {
  let timer: NodeJS.Timeout | undefined
  if (!authorize.isMiddleware) {
    const answer = authorize.ask(req, res, ignore)
    return isPromise(answer)
      ? answer.then((given) => isTrue(authorize, given))
      : isTrue(authorize, answer)
  }
  return new Promise<boolean>((resolve, reject) => {
    // A middleware that answers calls nobody back.
    res.once('close', () => resolve(false))
    const given = authorize.ask(req, res, (error) => resolve(error === undefined || error === null))
    // What it gives says nothing else: many end in a call that happens to give true, and go on later.
    if (isPromise(given)) given.catch(reject)
    timer = setTimeout(() => {
      warnOnce(
        authorize,
        `takes (req, res, next) and has for ${PATIENCE_MS / 1000} s neither called next() nor answered, and who asked waits`,
      )
    }, PATIENCE_MS).unref()
  }).finally(() => clearTimeout(timer))
}
