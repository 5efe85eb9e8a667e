import type { CacheCore } from '../backend/core.js'
import { currentMs } from '../current-time.js'
import type { MissCause } from '../observe/miss-cause.js'
import type { RememberedEntries, Subject } from '../observe/remembered.js'
import type { NewPage, PageLookup, PageRequest } from './page.js'

/** What a page is remembered as. What visitors send is not. */
export function pageSubject(
  { uri }: Pick<PageRequest, 'uri'>,
  key: string,
  page?: Pick<NewPage, 'route' | 'head'>,
): Subject {
  const freshUntilMs = page?.head.freshUntilMs
  return { kind: 'page', key, name: uri, variant: [], route: page?.route, freshUntilMs }
}

/**
 * Why a request was not answered with a page.
 *
 * @param siblings - What is remembered of the caches of the site.
 * @returns `undefined`: there is a fresh one.
 */
export function causeOfPage(
  cache: CacheCore,
  request: PageRequest,
  { page, key, lost, isKnown, headerList = [] }: PageLookup,
  siblings: Iterable<RememberedEntries>,
): MissCause | undefined {
  const freshUntilMs = page === undefined ? undefined : (page.freshUntilMs ?? Infinity)
  if (freshUntilMs !== undefined && freshUntilMs > currentMs()) return undefined
  const found = freshUntilMs === undefined ? lost : { expiredAtMs: freshUntilMs }
  const subject = { ...pageSubject(request, key), variant: headerList }
  return cache.remembered.causeOf(subject, cache.checkedKey(key), found, isKnown, siblings)
}
