import { shortKey, type ShortKey } from '../bounded-memo.js'
import { show, type TagPosition } from '../errors.js'

/** Most fragments and faults that are warned about: names made up at run time must not fill the memory. */
const MAX_WARNED = 1_000
const warned = new Set<ShortKey>()

/**
 * Warns of a fragment, once for each of its faults.
 *
 * @param subject - What tells the fault from others of its kind.
 */
export function warnOfFragment(
  kind: { readonly type: string; readonly code: string },
  { fragment, template, line }: TagPosition,
  subject: string,
  text: string,
): void {
  // Some come with every hit.
  if (!isFirst(`${kind.code} ${subject} ${fragment}`)) return
  const place = [template, line === undefined ? undefined : `line ${line}`].filter(Boolean)
  const where = place.length === 0 ? '' : ` (${place.join(', ')})`
  process.emitWarning(`fragment ${show(fragment)}${where}: ${text}`, kind)
}

function isFirst(fault: string): boolean {
  const id = shortKey(fault)
  if (warned.has(id) || warned.size >= MAX_WARNED) return false
  warned.add(id)
  return true
}

/** Of what a cached body, or a page that is kept, reads of its visitor. */
export const PERSONAL_READ = 'FRAGCACHE_PERSONAL_READ'

/**
 * Warns of a page that is kept for all and shows what usually differs per visitor.
 *
 * @param route - Such as `GET /countries/:code`.
 */
export function warnOfPageRead(route: string, name: string): void {
  if (!isFirst(`${PERSONAL_READ} ${name} ${route}`)) return
  process.emitWarning(
    `responseCache: ${route}: the page is going to be kept for all visitors, and a template reads ${show(name)} outside of nocache, so that what one user sees may reach others; move that part into nocache, let the page say Vary: Cookie or Cache-Control: private, or say with the option personal what differs per visitor (personal: [] for nothing); reported once for each route and name`,
    { type: 'ResponseCacheWarning', code: PERSONAL_READ },
  )
}

/** Warns of a vary-on value that is undefined, as a misspelt variable is. @param at - Which one, from 0. */
export function warnOfUndefined(site: TagPosition, at: number): void {
  warnOfFragment(
    { type: 'FragmentVaryOnWarning', code: 'FRAGCACHE_UNDEFINED_VARY_ON' },
    site,
    String(at),
    `vary-on value ${at + 1} is undefined and counts as the empty string, so that two users may come to share this fragment; check its spelling, or give a value for visitors who have none, as "anonymous"; reported once`,
  )
}

/** What a template puts out for a promise. */
export const PRINTED_PROMISE = '[object Promise]'

/**
 * Warns of a text that is kept with {@link PRINTED_PROMISE} in it. The text is the one that the template gives without
 * the tag too. And it may be what a visitor wrote, whose words must neither fail a page nor keep it from being cached.
 */
export function warnOfPromise(site: TagPosition): void {
  warnOfFragment(
    { type: 'FragmentPromiseWarning', code: 'FRAGCACHE_PROMISE_PRINTED' },
    site,
    '',
    `its text has ${PRINTED_PROMISE} in it, and is kept: a promise was put out in place of what it gives; await it before the template is rendered (in Eta also in the template, with await); reported once`,
  )
}
