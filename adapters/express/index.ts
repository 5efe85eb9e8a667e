export { responseCache, type ResponseCache } from './response-cache.js'
export type { CachePageOptions, ResponseCacheOptions } from './options.js'
export type { ResponseMessage, ResponseOutcome } from './channel.js'
