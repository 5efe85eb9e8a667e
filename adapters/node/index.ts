export {
  responseCache,
  type HandlerOptions,
  type NodeRequest,
  type NodeResponse,
  type ResponseCache,
  type ResponseCacheOptions,
} from './response-cache.js'
export type { TrustProxy } from './node-host.js'
export * from './common.js'
export {
  condition,
  etag,
  lastModified,
  type ConditionOptions,
  type EtagFunction,
  type LastModifiedFunction,
} from './condition.js'
