export {
  responseCache,
  type CachePageOptions,
  type PageHoleOptions,
  type PageTags,
  type ResponseCache,
  type ResponseCacheOptions,
} from './response-cache.js'
export type { InvalidateOptions } from '../node/invalidate-options.js'
export type { CommonOptions, HoleOptions, PageOptions, TagsOf } from '../node/options.js'
export { guard, type GuardOptions } from '../node/guard.js'
export { TRACKING_PARAMETERS, type QueryRule } from '../../src/http/query.js'
export type { Coding } from '../../src/http/content-coding.js'
export type { Middleware } from '../node/middleware.js'
export type { ResponseMessage, ResponseOutcome } from '../../src/pages/channel.js'
export type { Reason } from '../../src/pages/reasons.js'
export {
  addNeverCacheHeaders,
  getMaxAge,
  hasVaryHeader,
  patchCacheControl,
  patchResponseHeaders,
  patchVaryHeaders,
  type HeadersOfResponse,
} from '../node/header-helpers.js'
export {
  cacheControl,
  neverCache,
  varyOnCookie,
  varyOnHeaders,
} from '../node/header-middlewares.js'
export type { CacheControlDirectives, DirectiveValue } from '../../src/http/patch-cache-control.js'
export { conditionalGet } from '../node/conditional-get.js'
export {
  condition,
  etag,
  lastModified,
  type ConditionOptions,
  type EtagFunction,
  type LastModifiedFunction,
} from './condition.js'
