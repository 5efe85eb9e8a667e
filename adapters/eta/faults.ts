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

  holeInFunction: (position: TagPosition): CacheTagError =>
    new CacheTagError(
      'a nocache block in it waits and the tag stands in a function that is not async, such as a callback of forEach or capture; use for...of, an async function that is awaited, includeAsync or captureAsync',
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

  holeArguments: (rest: string, position: TagPosition): CacheTagError =>
    new CacheTagError(
      `nocache and endnocache take no arguments; leave out ${show(rest)}`,
      position,
    ),

  crossing: (end: string, position: TagPosition): CacheTagError =>
    new CacheTagError(
      `this ${end} stands inside the other tag; end the tags in the reverse order of their beginnings`,
      position,
    ),

  holeCode: (reason: string, position: TagPosition): CacheTagError =>
    new CacheTagError(
      `what stands in nocache is no JavaScript that can be run by itself on a hit (${reason}); open and close brackets, loops and functions either all inside or all outside, and keep break, continue, return and yield out of it`,
      position,
    ),

  holeLeaks: (name: string, position: TagPosition): CacheTagError =>
    new CacheTagError(
      `nocache declares ${show(name)} by var or as a function, which would be known outside; use let or const`,
      position,
    ),

  madeInside: (name: string, position: TagPosition): CacheTagError =>
    new CacheTagError(
      `nocache uses ${show(name)}, which is made inside the cached body and is not there on a hit; move the nocache block or the variable out of the cached body`,
      position,
    ),

  changedInside: (name: string, position: TagPosition): CacheTagError =>
    new CacheTagError(
      `nocache uses ${show(name)}, which the cached body around it changes, and a hit would leave that out; move the nocache block or the change out of the cached body`,
      position,
    ),

  changedByHole: (name: string, position: TagPosition): CacheTagError =>
    new CacheTagError(
      `nocache changes ${show(name)}, which is made outside of it; what stands after it in the cached body would not see that; declare the variable inside nocache`,
      position,
    ),

  lostFromHole: (call: string, position: TagPosition): CacheTagError =>
    new CacheTagError(
      `nocache calls ${call}(), which does nothing any more when its text is made on a hit; call it outside the cached body`,
      position,
    ),

  madeOutsideTag: (name: string, position: TagPosition): CacheTagError =>
    new CacheTagError(
      `nocache uses ${show(name)}, which its template makes outside of it, and what is cached here is a page or an including template, which on a hit does not run this template; use what the page's data hold, or move the variable into the nocache block`,
      position,
    ),

  givenInside: (name: string, position: TagPosition): CacheTagError =>
    new CacheTagError(
      `nocache uses ${show(name)}, which is given to its template inside a cached body around it (by include, layout or a function) and is not there on a hit; give that body's own data to it, or move nocache or the include out of the cached body`,
      position,
    ),

  allGivenInside: (name: string, position: TagPosition): CacheTagError =>
    new CacheTagError(
      `nocache hands on all its template's data (to include, a function or a variable), and ${show(name)} of them is given inside a cached body around it (by include, layout or a function) and is not there on a hit; use single properties of the data, or move nocache or the include out of the cached body`,
      position,
    ),

  placedBefore: (position: TagPosition): CacheTagError =>
    new CacheTagError(
      'it holds the body of the template that this is the layout of, in which a nocache block was rendered before, for one visitor; put the cache tag into that template, around the block, or cache the page',
      position,
    ),

  nameless: (position: TagPosition): CacheTagError =>
    new CacheTagError(
      'this nocache block could not be found again on a hit, because its template has no name; render it by a name, from a file or after loadTemplate',
      position,
    ),
}
