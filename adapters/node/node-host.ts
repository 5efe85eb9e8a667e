import type { IncomingMessage } from 'node:http'
import { MisuseError, show } from '../../src/errors.js'
import { narrowTarget } from '../../src/http/query.js'
import type { Host } from './host.js'
import { warnOfFault } from './warnings.js'

/** Whom `X-Forwarded-Host` and `X-Forwarded-Proto` are believed. */
export type TrustProxy = boolean | ((address: string | undefined) => boolean)

const nothing = (): undefined => undefined

/**
 * Requests as `node:http` makes them.
 *
 * @throws TypeError: it is neither a boolean nor a function.
 */
export function nodeHost(trustProxy: TrustProxy): Host {
  return {
    scopeOf: nothing,
    trusts: trustOf(trustProxy),
    narrow: narrowUrl,
    listenerOf: nothing,
    watchErrors: nothing,
    watchRender: nothing,
  }
}

function trustOf(trustProxy: unknown): Host['trusts'] {
  if (typeof trustProxy === 'boolean') return () => trustProxy
  if (typeof trustProxy !== 'function') {
    throw new MisuseError(
      `responseCache: trustProxy: ${show(trustProxy)} is not true, false or a function such as (address) => address === '127.0.0.1'`,
    )
  }
  return ({ socket }) => {
    try {
      return (trustProxy as (address: string | undefined) => unknown)(socket.remoteAddress) === true
    } catch (error) {
      warnOfFault(error)
      return false
    }
  }
}

/** A layer that was called before may have kept what the client asked for. */
function narrowUrl(req: IncomingMessage, keeps: (name: string) => boolean): void {
  const layered = req as { url?: string; originalUrl?: string }
  const { url, originalUrl } = layered
  if (url !== undefined) layered.url = narrowTarget(url, keeps)
  if (originalUrl !== undefined) layered.originalUrl = narrowTarget(originalUrl, keeps)
}
