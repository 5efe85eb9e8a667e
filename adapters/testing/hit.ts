import { AssertionError } from 'node:assert'
import { explainReason } from '../../src/pages/explanations.js'
import { OWN_NAME, readCacheStatus, type Handled } from './cache-status.js'
import { headerIn, type AnyResponse } from './response.js'

/**
 * Fails unless a response came from the cache. The message says why it did not.
 *
 * @param res - A response of any client or server, see {@link AnyResponse}.
 * @throws AssertionError: it has no `Cache-Status`, or that says no `hit`. A page that was served past its
 *   time is a hit too.
 * @throws TypeError: `res` is neither a response nor a promise of one.
 * @see RFC 9211, The Cache-Status HTTP Response Header Field
 */
export function expectHit(res: AnyResponse): void {
  const handled = handledIn('expectHit', res, expectHit)
  if (handled.isHit) return
  const { sentence, remedy } = whyMissed(handled.parameters, headerIn('expectHit', res, 'vary'))
  fail(expectHit, 'a hit', handled.member, [
    'the response did not come from the cache.',
    sentence,
    `What to do: ${remedy}`,
  ])
}

/**
 * Fails unless the handler answered instead of the cache, whether its response is stored or not.
 *
 * @param res - A response of any client or server, see {@link AnyResponse}.
 * @throws AssertionError: it has no `Cache-Status`, or that says `hit`.
 * @throws TypeError: `res` is neither a response nor a promise of one.
 */
export function expectMiss(res: AnyResponse): void {
  const handled = handledIn('expectMiss', res, expectMiss)
  if (!handled.isHit) return
  fail(expectMiss, 'a miss', handled.member, [
    `the response came from the cache${ageOf(handled.parameters)}.`,
    'What to do: if an earlier test stored it, clear the caches before each test (`await caches.default.clear()`). If what it shows has changed since, invalidate it where that changes: `expectDropped` tells whether its tag is. If it is another visitor’s, let the page vary on what differs: `sameForAll` tells.',
  ])
}

function fail(caller: Caller, expected: string, member: string, lines: readonly string[]): never {
  const [first, ...rest] = lines
  const message = [`${caller.name}: ${first}`, `  Cache-Status: ${member}`]
  for (const line of rest) message.push(`  ${line}`)
  throw new AssertionError({
    message: message.join('\n'),
    actual: member,
    expected,
    operator: caller.name,
    stackStartFn: caller,
  })
}

type Caller = typeof expectHit

function handledIn(name: string, res: AnyResponse, caller: Caller): Handled {
  const header = headerIn(name, res, 'cache-status')
  const { all, own } = readCacheStatus(header)
  // Of several layers of the site one that hit is enough: the handler did not run.
  const told = own.find(({ isHit }) => isHit) ?? own.at(-1)
  if (told !== undefined) return told
  const others = all.length === 0 ? '' : `, only ${all.map((one) => one.name).join(', ')}`
  throw new AssertionError({
    message: [
      `${name}: the response has no Cache-Status of fragcache${others}: it cannot be told where it came from.`,
      '  Either the option `cacheStatus` of `responseCache` is false; or no cache was in front of what answered:',
      '  put `app.use(pages.cacheSite())`, or `pages.cachePage(seconds)`, in front of the route and of everything that',
      '  may answer before it, as a redirect or an error.',
    ].join('\n'),
    actual: header,
    expected: OWN_NAME,
    operator: name,
    stackStartFn: caller,
  })
}

function ageOf(parameters: Handled['parameters']): string {
  const ttl = Number(parameters.get('ttl'))
  if (Number.isNaN(ttl)) return ''
  return ttl < 0 ? `, ${-ttl} s past its deadline` : `, with ${ttl} s left`
}

/** By `fwd`, where there is no `detail`. @see RFC 9211 §2.2 */
const FORWARDED: Readonly<Record<string, readonly [sentence: string, remedy: string]>> = {
  'uri-miss': [
    'Nothing was stored for this URL and this host.',
    'if it was requested before, see whether that answer was stored (`expectMiss` of it, then its Cache-Status): it has another key by host, query or `keyPrefix`, it has ended, or something in it was invalidated since.',
  ],
  'vary-miss': [
    'Pages of this URL are stored, but none for such request headers.',
    'send the same values in both requests of the headers that Vary names, or let the page vary on less.',
  ],
  stale: [
    'The stored page has expired, or was invalidated.',
    'give it more `seconds`, or look at what invalidates it.',
  ],
  request: [
    'The request asked for an answer that is not stored.',
    'leave `Cache-Control` and `Pragma` out of the request, or `honorRequestDirectives` out of the options.',
  ],
}

interface Why {
  readonly sentence: string
  readonly remedy: string
}

function whyMissed(parameters: Handled['parameters'], vary: string | undefined): Why {
  const forward = parameters.get('fwd') ?? ''
  const detail = parameters.get('detail')
  if (detail !== undefined) return explainReason('', detail)
  if (parameters.has('collapsed')) return explainReason('joined', undefined)
  const [sentence, remedy] = FORWARDED[forward] ?? []
  if (sentence === undefined || remedy === undefined) return explainReason('', forward)
  const of = forward === 'vary-miss' && vary !== undefined ? ` It says Vary: ${vary}.` : ''
  const isStored = parameters.has('stored') ? ' This answer is stored now.' : ''
  return { sentence: sentence + of + isStored, remedy }
}
