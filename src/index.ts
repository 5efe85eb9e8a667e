export { Cache } from './cache.js'
export type {
  GetOptions,
  GetOrSetOptions,
  InvalidateOptions,
  KeyOptions,
  SetOptions,
  TouchOptions,
} from './cache-options.js'
export type { LockOptions, StaleOptions } from './staleness.js'
export type {
  CachesStats,
  CacheStats,
  FragmentStats,
  ReadTimes,
  RouteStats,
} from './observe/stats.js'
export type { EntryDescription } from './describe.js'
export type { NamedServerFigures, ServerFigures, ServerStats } from './server-stats.js'
export { dependOn } from './making/frame.js'
export { Caches, createCaches } from './caches.js'
export type { NamedCaches } from './caches.js'
export type { GivenEntries, Storable, StorableEntries } from './storable.js'
export type { CounterKey, SchemaEntry, SchemaKey, TypedCache, TypedMap } from './typed-cache.js'
export { LocMemCache } from './backends/locmem.js'
export type { LocMemOptions, LocMemSettings } from './backends/locmem.js'
export { DummyCache } from './backends/dummy.js'
export type { CacheStore, WriteEntry, WriteOutcome } from './backend/store.js'
export type { CacheSettings, KnownSettings, ResolvedSettings } from './settings.js'
export type { KeyFault, KeyFunction, Version } from './keys.js'
export type { Deadline, Timeout } from './timeout.js'
export type { TagVersions } from './tags.js'
export type { ValueOptions, ValueType } from './value-types.js'
export type { MaybePromise } from './maybe-promise.js'
export { addIntegers, pack, readInteger, unpack } from './serializer.js'
export type { Unpacked } from './serializer.js'
export { isExpired } from './timeout.js'
export type { ProducerContext } from './making/production.js'
export type {
  FragmentMessage,
  FragmentOutcome,
  OperationMessage,
  OutageMessage,
  RefreshMessage,
} from './observe/channels.js'
export type {
  DependentFragment,
  DependentPages,
  Dependents,
  DependentValues,
} from './observe/dependents.js'
export type { MissCause, MissCode } from './observe/miss-cause.js'
export type { FragmentReason, UnstoredReason } from './observe/reasons.js'
export {
  CacheBackendError,
  CacheKeyNotFoundError,
  CacheTagError,
  FragcacheError,
  InvalidCacheBackendError,
  InvalidCacheKeyError,
  ProducerTimeoutError,
} from './errors.js'
export type { CacheBackendErrorOptions, FragcacheErrorCode, TagPosition } from './errors.js'
export { logAccess } from './observe/access-log.js'
export type {
  AccessLog,
  AccessLogger,
  AccessLogOptions,
  LogEvents,
  LogLevels,
  LogMethod,
  LogOutcome,
} from './observe/access-log.js'
export type { ShownKeys } from './shown-key.js'
export { makeTemplateFragmentKey } from './fragment/key.js'
export type { FragmentKeyOptions } from './fragment/key.js'
export { FragmentCache } from './fragment/render.js'
export type {
  FragmentCacheOptions,
  FragmentOptions,
  FragmentPlace,
  FragmentWithBody,
} from './fragment/from-code.js'
export type { HoleRef } from './fragment/hole-parts.js'
export type { HoleRenderer } from './fragment/hole-parts.js'
export type { HoleEngine } from './fragment/holes.js'
export type { FragmentRules } from './fragment/options.js'
