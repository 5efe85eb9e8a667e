import { createHash, randomBytes } from 'node:crypto'
import type { CacheCore } from '../backend/core.js'
import { currentMs } from '../current-time.js'
import { headerText, type HeaderFields } from '../http/header-values.js'
import type { MissCause } from '../observe/miss-cause.js'
import {
  variantPart,
  type NeededRecord,
  type RememberedEntries,
  type Subject,
} from '../observe/remembered.js'
import type { NewPage, PageLookup, PageRequest } from './page.js'

/**
 * What a page is remembered as. Of what visitors send only a fingerprint is.
 *
 * @param keyedBy - The names of the headers that it is keyed by.
 * @param values - Theirs.
 * @param record - That of its generation.
 */
export function pageSubject(
  request: PageRequest,
  key: string,
  keyedBy: readonly string[],
  values: HeaderFields,
  page?: Pick<NewPage, 'route' | 'head'>,
  record?: NeededRecord,
): Subject {
  const { uri, language, timeZone } = request
  const variant = [
    variantPart('the language', fingerprint(language)),
    variantPart('the time zone', fingerprint(timeZone)),
    ...keyedBy.map((name) =>
      variantPart(`the request header ${name}`, fingerprint(headerText(values, name))),
    ),
  ]
  const freshUntilMs = page?.head.freshUntilMs
  return { kind: 'page', key, name: uri, variant, route: page?.route, freshUntilMs, record }
}

/** Nobody can tell by a fingerprint what was sent. */
const seed = randomBytes(16)

function fingerprint(value: string | undefined): string {
  if (value === undefined) return ''
  return createHash('sha256').update(seed).update(value).digest('base64url').slice(0, 11)
}

/**
 * Why a request was not answered with a page.
 *
 * @param subject - Of the page that it asks for.
 * @param siblings - What is remembered of the caches of the site.
 * @returns `undefined`: there is a fresh one.
 */
export function causeOfPage(
  cache: CacheCore,
  subject: Subject,
  { page, key, lost, isKnown }: PageLookup,
  siblings: Iterable<RememberedEntries>,
): MissCause | undefined {
  const freshUntilMs = page === undefined ? undefined : (page.freshUntilMs ?? Infinity)
  if (freshUntilMs !== undefined && freshUntilMs > currentMs()) return undefined
  const found = freshUntilMs === undefined ? lost : { expiredAtMs: freshUntilMs }
  return cache.remembered.causeOf(subject, cache.checkedKey(key), found, isKnown, siblings)
}
