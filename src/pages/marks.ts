import { BoundedMemo } from '../bounded-memo.js'
import { currentMs } from '../current-time.js'

/** A mark is valid for so long. */
const MARK_MS = 10_000

/**
 * Remembers for a short time that a page was not stored for such requests, so that the next ones do not wait for
 * each other.
 */
export class Marks {
  readonly #untilMs = new BoundedMemo<number>(() => 16)

  /** @param profile - See {@link profileOf}. */
  has(key: string, profile: string): boolean {
    const untilMs = this.#untilMs.get(key + profile)
    return untilMs !== undefined && currentMs() < untilMs
  }

  set(key: string, profile: string): void {
    this.#untilMs.set(key + profile, currentMs() + MARK_MS)
  }

  delete(key: string, profile: string): void {
    this.#untilMs.delete(key + profile)
  }
}

/** Headers that browsers and proxies send with any request, and that rarely change a page. */
const ORDINARY: ReadonlySet<string> = new Set([
  'accept',
  'accept-charset',
  'accept-encoding',
  'accept-language',
  'cache-control',
  'connection',
  'dnt',
  'forwarded',
  'host',
  'if-modified-since',
  'if-none-match',
  'keep-alive',
  'pragma',
  'priority',
  'referer',
  'sec-gpc',
  'te',
  'traceparent',
  'tracestate',
  'upgrade-insecure-requests',
  'user-agent',
  'via',
  'x-forwarded-for',
  'x-forwarded-host',
  'x-forwarded-port',
  'x-forwarded-proto',
  'x-real-ip',
  'x-request-id',
])

/**
 * The kind of a request: the names of its unusual headers, `Cookie` among them. A mark that a request has set
 * counts only for requests of the same kind, so that odd headers cannot make a page unshared for others.
 */
export function profileOf(headers: Readonly<Record<string, unknown>>): string {
  let profile = ''
  for (const name of Object.keys(headers).sort()) {
    // Pseudo-headers of HTTP/2, which every request has.
    if (name.startsWith(':')) continue
    if (!ORDINARY.has(name) && !/^sec-(?:ch|fetch)-/.test(name)) profile += `\n${name}`
  }
  return profile
}
