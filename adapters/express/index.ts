export {
  responseCache,
  type CachePageOptions,
  type PageHoleOptions,
  type PageTags,
  type ResponseCache,
  type ResponseCacheOptions,
} from './response-cache.js'
export type { HoleOptions } from '../node/options.js'
export * from '../node/common.js'
export {
  condition,
  etag,
  lastModified,
  type ConditionOptions,
  type EtagFunction,
  type LastModifiedFunction,
} from './condition.js'
