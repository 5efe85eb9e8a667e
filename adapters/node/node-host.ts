import type { IncomingMessage } from 'node:http'
import { narrowTarget } from '../../src/http/query.js'
import type { Host } from './host.js'
import { checkOption, must } from './option-checks.js'
import { warnOfFault } from './warnings.js'

/** The addresses whose `X-Forwarded-Host` and `X-Forwarded-Proto` are trusted. */
export type TrustProxy = boolean | ((address: string | undefined) => boolean)

/**
 * Requests as `node:http` makes them.
 *
 * @throws TypeError: it is neither a boolean nor a function.
 */
export function nodeHost(trustProxy: TrustProxy): Host {
  return {
    trusts: trustOf(trustProxy),
    narrow: narrowUrl,
  }
}

function trustOf(trustProxy: TrustProxy): Host['trusts'] {
  checkOption('responseCache', 'trustProxy', trustProxy, isTrust)
  if (typeof trustProxy === 'boolean') return () => trustProxy
  return ({ socket }) => {
    try {
      return (trustProxy(socket.remoteAddress) as unknown) === true
    } catch (error) {
      warnOfFault(error)
      return false
    }
  }
}

const isTrust = must(
  (value) => typeof value === 'boolean' || typeof value === 'function',
  "true, false or a function such as (address) => address === '127.0.0.1'",
)

/** An earlier layer may have kept the original URL, so that is changed too. */
function narrowUrl(req: IncomingMessage, keeps: (name: string) => boolean): void {
  const layered = req as { url?: string; originalUrl?: string }
  const { url, originalUrl } = layered
  if (url !== undefined) layered.url = narrowTarget(url, keeps)
  if (originalUrl !== undefined) layered.originalUrl = narrowTarget(originalUrl, keeps)
}
