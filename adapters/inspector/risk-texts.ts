import type { Risk } from './api.js'

/** What a risk is and what to do about it, told to people. */
export interface RiskText {
  readonly severity: Risk['severity']
  /** What it means, as a sentence. */
  readonly meaning: string
  readonly remedy: string
}

/** By the code of the risk; those that begin with FRAGCACHE_ are warnings of the process. */
const RISKS: Readonly<Record<string, RiskText>> = {
  outage: {
    severity: 'high',
    meaning:
      'A store does not answer. Pages and fragments are rendered again on each request until it does.',
    remedy: 'See that the server runs and can be reached; `fragcache check` tells more.',
  },
  'visitor-in-body': {
    severity: 'high',
    meaning:
      'A cached body reads something of one visitor, such as the session or the user, that it does not vary on. It is not stored, so that nobody sees another’s; it is not cached either.',
    remedy: 'Name it in vary-on, move it out of the fragment, or put it in a hole.',
  },
  'local-memory-in-cluster': {
    severity: 'high',
    meaning:
      'This process is one of several, and the cache is in its own memory: each has its own entries, and what one invalidates the others still serve.',
    remedy:
      'Use a store that all share (Redis, Memcached, a database), or local memory in front of one: TieredCache.',
  },
  'hit-ratio-zero': {
    severity: 'medium',
    meaning: 'Much was looked up and nothing was ever found: the cache only costs.',
    remedy:
      'Look for a value in the key that is new each time (a date, a random number, a whole object), for a timeout that is too short, and for something that invalidates on each request.',
  },
  'slower-cached': {
    severity: 'medium',
    meaning: 'To find the fragment takes longer than to render it.',
    remedy:
      'Leave it uncached, cache more at once around it, or put local memory in front: TieredCache.',
  },
  'many-variants': {
    severity: 'medium',
    meaning:
      'There are very many variants of one name: each takes room, and few of them are asked for twice.',
    remedy:
      'Vary on less: on a group instead of a user, on the fields that are shown instead of an object.',
  },
  'never-stored': {
    severity: 'medium',
    meaning: 'It is in the cache’s way and has never been stored.',
    remedy:
      'See the reasons in the table of routes; for a fragment: a false `if`, a failing store, or a read of the visitor.',
  },
  'names-past-limit': {
    severity: 'low',
    meaning: 'There are more than 10 000 names, and the rest is counted together as “(others)”.',
    remedy: 'Name fragments after what they are, and put what differs into vary-on.',
  },
  FRAGCACHE_UNDEFINED_VARY_ON: {
    severity: 'high',
    meaning:
      'A vary-on value of a fragment was undefined, and counts as the empty string: that is how two visitors come to share a fragment.',
    remedy: 'Correct the name of the variable, or give it a value for visitors who have none.',
  },
  FRAGCACHE_PROMISE_PRINTED: {
    severity: 'low',
    meaning:
      'The text of a fragment has [object Promise] in it: a template put out a promise in place of what it gives.',
    remedy: 'Await the promise before the template is rendered; in Eta also in the template.',
  },
  FRAGCACHE_FRAGMENT_NAME: {
    severity: 'high',
    meaning:
      'The name of a fragment looks like its timeout or like a value. A name is taken as it is written, so that all visitors share the fragment.',
    remedy:
      'Put the timeout first, then the name, then the values. Put the name in quotes if it is meant so.',
  },
  FRAGCACHE_PERSONAL_READ: {
    severity: 'high',
    meaning:
      'The body of a fragment reads what differs per visitor, and its vary-on values do not name it: the first visitor’s text may be shown to all.',
    remedy:
      'Add it to the vary-on values, or move that part into nocache. If it is the same for all, say so with the option personal.',
  },
  FRAGCACHE_VISITOR_BEHIND_CACHE: {
    severity: 'medium',
    meaning:
      'A session or a sign-in is behind the cache, which does not know the visitor when it is asked. Nobody gets another’s page: what was made for a visitor is not stored, and a visitor with a cookie gets no stored page.',
    remedy:
      'Put sessions and sign-ins in front of the cache: app.use(session(…)), then app.use(pages.cacheSite()).',
  },
  FRAGCACHE_CACHE_BEHIND_HANDLER: {
    severity: 'medium',
    meaning:
      'A cachePage is behind the handler of its route, which answers without it: nothing is cached.',
    remedy: 'Put it in front: app.get(path, pages.cachePage(60), handler).',
  },
  FRAGCACHE_HALF_CACHE: {
    severity: 'medium',
    meaning:
      'One half of the site’s cache, updateCache or fetchFromCache, does not meet the other: nothing is cached.',
    remedy:
      'Put updateCache in front and fetchFromCache behind it, or use cacheSite in place of both.',
  },
  FRAGCACHE_LOCAL_MEMORY: {
    severity: 'high',
    meaning:
      'This process is one of several, and a cache is in its own memory: what one invalidates the others still serve.',
    remedy:
      'Use a store that all share (Redis, Memcached, a database), or local memory in front of one: TieredCache.',
  },
  FRAGCACHE_SHARED_DIRECTORY: {
    severity: 'high',
    meaning:
      'Other users of the machine may write to the cache’s directory, and so choose what is read from it.',
    remedy: 'Use a directory of this user’s own, with mode 0700.',
  },
  FRAGCACHE_SET_COOKIE: {
    severity: 'low',
    meaning:
      'A page was not stored, since its response sets a cookie, which belongs to one visitor.',
    remedy:
      'Set a cookie only when it changes; with express-session: saveUninitialized: false, resave: false, rolling: false.',
  },
  FRAGCACHE_CSP_NONCE: {
    severity: 'high',
    meaning:
      'A stored page has a nonce in its Content-Security-Policy, and a nonce that many get is none.',
    remedy: 'Use hashes, or leave such pages out of the cache.',
  },
  FRAGCACHE_TRUST_PROXY: {
    severity: 'high',
    meaning:
      'A mounted application takes X-Forwarded-Host or X-Forwarded-Proto of any client, while the page is keyed without them; such pages are not stored.',
    remedy: 'Set `trust proxy` only on the outermost application.',
  },
  FRAGCACHE_INSPECTOR_AUTHORIZE: {
    severity: 'medium',
    meaning:
      'The option authorize of the inspector threw, or returned something other than true or false, and the request was refused.',
    remedy: 'Give true for those who may, and false for all others.',
  },
  FRAGCACHE_PAGE_TAGS: {
    severity: 'medium',
    meaning:
      'The function tags of a cachePage threw or did not return a list of strings, and the pages of its route are not stored.',
    remedy:
      'Correct the function: it is asked when the answer is ready, with the request and the response.',
  },
  FRAGCACHE_OLDER_HOLES: {
    severity: 'medium',
    meaning:
      'A handler failed, and the older page could not be sent in its place, because one of its holes or the function context of the option holes failed too.',
    remedy: 'Look at the error in the message.',
  },
  FRAGCACHE_OUTAGE: {
    severity: 'medium',
    meaning: 'A store did not answer for a while.',
    remedy: 'See the outages of the cache in the overview.',
  },
  FRAGCACHE_REFUSED: {
    severity: 'medium',
    meaning:
      'A store that works did not do what it was asked: its user may not run a command, a value is too large, or it had too much to do.',
    remedy:
      'Change what the message names: the rights of the user, the size of the value, the load.',
  },
  FRAGCACHE_REFRESH_FAILED: {
    severity: 'medium',
    meaning: 'Something could not be refreshed, and the old value is served.',
    remedy:
      'Look at the error in the message: visitors do not see it until the old value is too old.',
  },
  FRAGCACHE_DAMAGED_ENTRY: {
    severity: 'medium',
    meaning:
      'A stored entry could not be read and counts as a miss: something else writes under these keys, or another version of this package does.',
    remedy: 'Give each program its own key prefix.',
  },
  FRAGCACHE_TOO_MANY_TAGS: {
    severity: 'medium',
    meaning: 'Something depends on too many tags and is not stored.',
    remedy: 'Give what is inside fewer, coarser tags.',
  },
  FRAGCACHE_NO_TRACKING: {
    severity: 'medium',
    meaning: 'The Redis server does not tell of changes, so that nothing is kept in local memory.',
    remedy:
      'Use Redis 6 or later and give the user the right to CLIENT TRACKING, or give TieredCache a bus.',
  },
  FRAGCACHE_NO_CHANNEL: {
    severity: 'medium',
    meaning:
      'The Redis user may not listen to the channel of the bus, so that nothing is kept in local memory.',
    remedy: 'Give the user the channel: ACL SETUSER … &channel.',
  },
  FRAGCACHE_RESPONSE_CACHE: {
    severity: 'medium',
    meaning: 'Something unexpected failed in the response cache, and pages may not be cached.',
    remedy: 'Look at the error in the message; a function among the options may have thrown.',
  },
  FRAGCACHE_WATCH_FAILED: {
    severity: 'low',
    meaning:
      'Something that watches the cache failed, such as a logger or a metric. The cache goes on.',
    remedy: 'Look at the error in the message.',
  },
  FRAGCACHE_OVERLAY: {
    severity: 'low',
    meaning: 'The overlay cannot draw on a page.',
    remedy: 'See the message of the warning. Visitors are sent the page as it is.',
  },
  FRAGCACHE_OVERLAY_FAILED: {
    severity: 'low',
    meaning: 'The overlay failed to draw on a page, which is sent as it is.',
    remedy: 'Look at the error in the message.',
  },
  FRAGCACHE_HOLES_IN_FRONT: {
    severity: 'low',
    meaning: 'The listener in front cannot fill holes and hands everything on.',
    remedy: 'Use cacheSite or cachePage inside the application, where the visitor is known.',
  },
  FRAGCACHE_KEY_TOO_LONG: {
    severity: 'low',
    meaning: 'A key is longer than Memcached takes.',
    remedy: 'Shorten it, or hash its long part, before you move to Memcached.',
  },
  FRAGCACHE_KEY_BAD_CHARACTERS: {
    severity: 'low',
    meaning: 'A key has characters that Memcached does not take, such as spaces.',
    remedy: 'Replace them before you move to Memcached.',
  },
  FRAGCACHE_DIGEST_INCOMPLETE: {
    severity: 'low',
    meaning:
      'The digest in a fragment’s key does not cover a partial: the old text is served after that changes.',
    remedy: 'Give the tag a version, or delete such fragments when the partial changes.',
  },
  FRAGCACHE_DYNAMIC_INCLUDE: {
    severity: 'low',
    meaning: 'A template includes by an expression, which no digest can follow.',
    remedy: 'Write the name out, or vary on it.',
  },
  FRAGCACHE_OPEN_DIGEST: {
    severity: 'low',
    meaning:
      'A template includes, extends or imports what is not known beforehand, which no digest covers.',
    remedy: 'Write the name out, give the tag a version, or vary on it.',
  },
}

/** Of a warning that has no text of its own. */
const OTHER: RiskText = {
  severity: 'low',
  meaning: 'The process has warned of something.',
  remedy: 'See the message of the warning.',
}

export function isRiskCode(code: string): boolean {
  return Object.hasOwn(RISKS, code)
}

export function riskText(code: string): RiskText {
  return (isRiskCode(code) ? RISKS[code] : undefined) ?? OTHER
}

/** All there are, for the help. */
export function allRisks(): readonly (readonly [code: string, text: RiskText])[] {
  return Object.entries(RISKS)
}
