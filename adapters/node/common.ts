// What every entry for requests of `node:http` exports, whatever its web framework.
export type { InvalidateOptions } from './invalidate-options.js'
export type { CommonOptions, PageOptions, TagsOf } from './options.js'
export { guard, type GuardOptions } from './guard.js'
export { TRACKING_PARAMETERS, type QueryRule } from '../../src/http/query.js'
export type { Coding } from '../../src/http/content-coding.js'
export type { Middleware } from './middleware.js'
export type { ResponseMessage, ResponseOutcome } from '../../src/pages/channel.js'
export type { Reason } from '../../src/pages/reasons.js'
export {
  addNeverCacheHeaders,
  cacheControl,
  getMaxAge,
  hasVaryHeader,
  neverCache,
  patchCacheControl,
  patchResponseHeaders,
  patchVaryHeaders,
  varyOnCookie,
  varyOnHeaders,
  type HeadersOfResponse,
} from './header-helpers.js'
export type { CacheControlDirectives, DirectiveValue } from '../../src/http/patch-cache-control.js'
export { conditionalGet } from './conditional-get.js'
