import { CacheTagError, show, type TagPosition } from '../../src/errors.js'
import { inItsPlace } from '../../src/fragment/faults.js'

/** Faults that only Nunjucks' syntax allows. */
export const nunjucksFaults = {
  crossedEnd: (position: TagPosition): CacheTagError =>
    new CacheTagError(
      'this endcache is inside another tag that was opened after the cache tag; close that one first',
      position,
    ),

  expression: (text: string, reason: string, position: TagPosition): CacheTagError =>
    new CacheTagError(`the argument ${show(text)} cannot be read: ${reason}`, position),

  asynchronousFilter: (name: string, position: TagPosition): CacheTagError =>
    new CacheTagError(
      `the filter ${show(name)} in its body is asynchronous; set a variable to the filter's result before the tag`,
      position,
    ),

  asynchronousTag: (position: TagPosition): CacheTagError =>
    new CacheTagError(
      'an asynchronous tag of another extension is in its body; put that tag around the cache tag',
      position,
    ),

  asynchronousBody: (position: TagPosition): CacheTagError =>
    new CacheTagError(
      'its body did not end at once, because of an asynchronous filter, tag or loader in what it includes; let the code before the template wait for that, and give the template the result',
      position,
    ),

  extendsInside: (position: TagPosition): CacheTagError =>
    new CacheTagError(
      'an extends tag is in its body, and would be lost on a hit; put it at the top of the template',
      position,
    ),

  crossedTag: (end: string, open: string, openLine: number, position: TagPosition): CacheTagError =>
    new CacheTagError(
      `this ${end} is inside the ${open} tag of line ${openLine}; close that one first`,
      position,
    ),

  strayHoleEnd: (position: TagPosition): CacheTagError =>
    new CacheTagError('this endnocache has no nocache tag before it', position),

  missingHoleEnd: (position: TagPosition, found?: string): CacheTagError =>
    new CacheTagError(`the endnocache is missing${inItsPlace(found)}`, position),

  endArguments: (text: string, position: TagPosition): CacheTagError =>
    new CacheTagError(
      `endnocache takes no arguments, and is given ${show(text)}; leave them out`,
      position,
    ),

  blockInHole: (position: TagPosition): CacheTagError =>
    new CacheTagError(
      'a block is in this nocache block, and on a hit it is not known which template fills it; put the nocache tag inside the block',
      position,
    ),

  superInHole: (position: TagPosition): CacheTagError =>
    new CacheTagError(
      'super() is called in this nocache block, and on a hit it is not known whose block that is; put the nocache tag into the block of the template that is extended',
      position,
    ),
}
