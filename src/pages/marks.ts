import { BoundedMemo } from '../bounded-memo.js'

/** A mark counts for so long. */
const MARK_MS = 10_000

/**
 * Of which pages it is known of late that the answers to such requests are for one visitor each, so that
 * nobody need wait.
 */
export class Marks {
  readonly #untilMs = new BoundedMemo<number>(() => 16)

  /** @param profile - See {@link profileOf}. */
  has(key: string, profile: string): boolean {
    const untilMs = this.#untilMs.get(key + profile)
    return untilMs !== undefined && Date.now() < untilMs
  }

  set(key: string, profile: string): void {
    this.#untilMs.set(key + profile, Date.now() + MARK_MS)
  }

  delete(key: string, profile: string): void {
    this.#untilMs.delete(key + profile)
  }
}

/** What any browser, and any proxy before us, may send without a handler caring much. */
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
 * What kind of request it is: the names of all headers that not everybody sends, `Cookie` among them.
 * What a request with odd headers found out counts for requests with the same ones, and so can't hold
 * for others that its page is private.
 */
export function profileOf(headers: Readonly<Record<string, unknown>>): string {
  let profile = ''
  for (const name of Object.keys(headers).sort()) {
    // Of HTTP/2: every request has them.
    if (name.startsWith(':')) continue
    if (!ORDINARY.has(name) && !/^sec-(?:ch|fetch)-/.test(name)) profile += `\n${name}`
  }
  return profile
}
