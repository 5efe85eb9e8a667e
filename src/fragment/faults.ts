import { CacheTagError, show, type TagPosition } from '../errors.js'

/**
 * The faults of a cache tag, in the same words for every engine.
 */
export const KEYWORDS = [
  'using',
  'tags',
  'version',
  'if',
  'lock',
  'staleWhileRevalidate',
  'staleIfError',
] as const

export type Keyword = (typeof KEYWORDS)[number]

/** Keywords that are reserved, so that templates written today mean the same tomorrow. */
const NOT_YET: readonly Keyword[] = ['lock', 'staleWhileRevalidate', 'staleIfError']

export function isKeyword(name: string): name is Keyword {
  return (KEYWORDS as readonly string[]).includes(name)
}

/** @throws CacheTagError: the keyword is unknown, or known but not supported yet. */
export function checkKeyword(name: string, position: TagPosition): asserts name is Keyword {
  if (!isKeyword(name)) {
    throw new CacheTagError(
      `unknown keyword ${show(name)}; the keywords are ${KEYWORDS.join(', ')}`,
      position,
    )
  }
  if (NOT_YET.includes(name)) {
    throw new CacheTagError(`the keyword "${name}" is not supported yet; leave it out`, position)
  }
}

export const faults = {
  tooFewArguments: (position: TagPosition): CacheTagError =>
    new CacheTagError('it needs a timeout and a fragment name, for example: 500 sidebar', position),

  repeatedKeyword: (name: string, position: TagPosition): CacheTagError =>
    new CacheTagError(`the keyword "${name}" is given twice; keep one`, position),

  keywordWithoutValue: (name: string, position: TagPosition): CacheTagError =>
    new CacheTagError(
      `the keyword "${name}" has no value; write ${name}=... without spaces around =`,
      position,
    ),

  valueAfterKeyword: (text: string, position: TagPosition): CacheTagError =>
    new CacheTagError(
      `the value ${show(text)} stands after a keyword; put vary-on values before the keywords`,
      position,
    ),

  bareOperator: (operator: string, position: TagPosition): CacheTagError =>
    new CacheTagError(
      `the operator ${show(operator)} stands between arguments; put parentheses around the whole expression, or separate all arguments by commas`,
      position,
    ),

  emptyArgument: (position: TagPosition): CacheTagError =>
    new CacheTagError('there is nothing between two commas, or after the last one', position),

  unclosed: (what: string, position: TagPosition): CacheTagError =>
    new CacheTagError(`${what} is not closed`, position),

  unquotedName: (position: TagPosition): CacheTagError =>
    new CacheTagError(
      'the fragment name must be a quoted text, for example "sidebar"; it is never a variable',
      position,
    ),

  missingEnd: (position: TagPosition): CacheTagError =>
    new CacheTagError('the endcache is missing', position),

  strayEnd: (position: TagPosition): CacheTagError =>
    new CacheTagError('this endcache has no cache tag before it', position),

  wrongEnd: (name: string, position: TagPosition): CacheTagError =>
    new CacheTagError(
      `this endcache names ${show(name)}; name the fragment that it closes, or none`,
      position,
    ),

  timeout: (value: unknown, position: TagPosition): CacheTagError =>
    new CacheTagError(
      `the timeout is ${show(value)}; give whole seconds, or none for never`,
      position,
    ),

  name: (value: unknown, position: TagPosition): CacheTagError =>
    new CacheTagError(
      `the fragment name is ${show(value)}; give a text of at least one character`,
      position,
    ),

  using: (value: unknown, position: TagPosition): CacheTagError =>
    new CacheTagError(`using is ${show(value)}; give the alias of a cache`, position),

  unknownCache: (message: string, position: TagPosition, cause: unknown): CacheTagError =>
    new CacheTagError(message, position, { cause }),

  tags: (value: unknown, position: TagPosition): CacheTagError =>
    new CacheTagError(
      `tags is, or holds, ${show(value)}; give a text or a list of texts of at least one character`,
      position,
    ),

  version: (value: unknown, position: TagPosition): CacheTagError =>
    new CacheTagError(`version is ${show(value)}; give a number (or a text)`, position),

  varyOn: (reason: string, position: TagPosition, cause: unknown): CacheTagError =>
    new CacheTagError(reason, position, { cause }),

  synchronous: (alias: string, remedy: string, position: TagPosition): CacheTagError =>
    new CacheTagError(
      `the cache ${show(alias)} answers asynchronously and this is synchronous rendering; ${remedy}, or use a cache that answers at once (local memory)`,
      position,
    ),

  altered: (position: TagPosition): CacheTagError =>
    new CacheTagError(
      'its output was altered (transformed, escaped or cut) by a filter or helper around the tag; over an asynchronous cache the text comes after the template is done, so put the filter or helper inside the tag, or use a cache that answers at once (local memory)',
      position,
    ),

  stray: (position: TagPosition): CacheTagError =>
    new CacheTagError(
      'its output was carried into another render, where its text is missing; render both inside one asynchronous render, or use a cache that answers at once (local memory)',
      position,
    ),
}
