import { CacheTagError, show, type TagPosition } from '../../src/errors.js'

/** The faults that only a tag in an Eta template can have. */
export const etaFaults = {
  expression: (text: string, reason: string, position: TagPosition): CacheTagError =>
    new CacheTagError(`${show(text)} is not a JavaScript expression (${reason})`, position),

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
      `the cache ${show(alias)} answers asynchronously and the tag is in a function that is not async, such as a callback of forEach or capture; use for...of, an async function that is awaited, includeAsync or captureAsync, or a cache that answers at once (local memory)`,
      position,
    ),

  holeInFunction: (position: TagPosition): CacheTagError =>
    new CacheTagError(
      'a nocache block waits here, in a function that is not async, such as a callback of forEach or capture; use for...of, an async function that is awaited, includeAsync or captureAsync',
      position,
    ),

  concurrent: (position: TagPosition): CacheTagError =>
    new CacheTagError(
      'something else is rendered concurrently into the same template, which would mix up their texts; await one after the other (for...of instead of Promise.all), or render each by a template of its own (Promise.all over includeAsync)',
      position,
    ),

  missingHoleEnd: (position: TagPosition): CacheTagError =>
    new CacheTagError('the endnocache is missing', position),

  strayHoleEnd: (position: TagPosition): CacheTagError =>
    new CacheTagError('this endnocache has no nocache tag before it', position),

  holeEndArguments: (rest: string, position: TagPosition): CacheTagError =>
    new CacheTagError(`endnocache takes no arguments; leave out ${show(rest)}`, position),

  crossing: (end: string, position: TagPosition): CacheTagError =>
    new CacheTagError(
      `this ${end} is inside the other tag; end the tags in the reverse order of their beginnings`,
      position,
    ),

  holeCode: (reason: string, position: TagPosition): CacheTagError =>
    new CacheTagError(
      `the content of nocache cannot run on its own on a hit (${reason}); open and close brackets, loops and functions either all inside or all outside, and keep break, continue, return and yield out of it`,
      position,
    ),

  holeLeaks: (name: string, position: TagPosition): CacheTagError =>
    new CacheTagError(
      `nocache declares ${show(name)} by var or as a function, which would be known outside; use let or const`,
      position,
    ),

  lostFromHole: (call: string, position: TagPosition): CacheTagError =>
    new CacheTagError(
      `nocache calls ${call}(), which does nothing there, since the block is rendered by itself; call it outside of the block`,
      position,
    ),

  placedBefore: (position: TagPosition): CacheTagError =>
    new CacheTagError(
      'it holds the body of the template that this is the layout of, in which a nocache block was rendered before, with per-user output; put the cache tag into that template, around the block, or cache the page',
      position,
    ),

  nameless: (position: TagPosition): CacheTagError =>
    new CacheTagError(
      'this nocache block could not be found again on a hit, because its template has no name; render it by a name, from a file or after loadTemplate',
      position,
    ),
}
