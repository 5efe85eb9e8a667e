import { CacheTagError, show, type TagPosition } from '../../src/errors.js'

/** The faults that only a tag in an Eta template can have. */
export const etaFaults = {
  expression: (text: string, reason: string, position: TagPosition): CacheTagError =>
    new CacheTagError(`${show(text)} is no JavaScript expression (${reason})`, position),

  yields: (position: TagPosition): CacheTagError =>
    new CacheTagError(
      'there is a yield inside, which a hit would leave out; put the tag outside the generator function, or the whole generator function outside the tag',
      position,
    ),

  lost: (call: string, position: TagPosition): CacheTagError =>
    new CacheTagError(
      `${call}() is called inside, which a hit would leave out; call it outside the tag`,
      position,
    ),

  inFunction: (alias: string, position: TagPosition): CacheTagError =>
    new CacheTagError(
      `the cache ${show(alias)} answers asynchronously and the tag stands in a function that is not async, such as a callback of forEach or capture; use for...of, an async function that is awaited, includeAsync or captureAsync, or a cache that answers at once (local memory)`,
      position,
    ),

  concurrent: (position: TagPosition): CacheTagError =>
    new CacheTagError(
      'something else is rendered concurrently into the same template, which would mix up their texts; await one after the other (for...of instead of Promise.all), or render each by a template of its own (Promise.all over includeAsync)',
      position,
    ),
}
