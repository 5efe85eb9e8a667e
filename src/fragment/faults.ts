import { didYouMean } from '../did-you-mean.js'
import { CacheTagError, show, type FragmentPosition, type TagPosition } from '../errors.js'

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

/** What is given without a name. */
const WITHOUT_NAME = {
  timeout: 'the first argument: 500 sidebar',
  varyOn: 'the values behind the name: 500 sidebar user.name',
  name: 'the second argument: 500 sidebar',
}

/** A keyword of the cache tag. */
export type Keyword = (typeof KEYWORDS)[number]

export function isKeyword(name: string): name is Keyword {
  return (KEYWORDS as readonly string[]).includes(name)
}

/** @throws CacheTagError: the keyword is unknown. */
export function checkKeyword(name: string, position: TagPosition): asserts name is Keyword {
  if (!isKeyword(name)) {
    throw new CacheTagError(
      `unknown keyword ${show(name)}; the keywords are ${KEYWORDS.join(', ')}${didYouMean(name, KEYWORDS, WITHOUT_NAME)}`,
      position,
    )
  }
}

/** What is set for all fragments of a cache, not for one. */
const OF_THE_CACHE = { producerTimeoutMs: 'as a setting of the cache' }

/** What is found where the end of a tag is missing, for a message. */
export function inItsPlace(found: string | undefined): string {
  return found === undefined ? '' : `; ${show(found)} is in its place`
}

/** Advice for a name that is a number, as where the timeout comes after it. */
function ifSwapped({ fragment = '' }: TagPosition): string {
  return /^\d+$/.test(fragment)
    ? `; the timeout comes first, then the name: ${fragment} sidebar`
    : ''
}

export const faults = {
  unknownOption: (name: string, known: readonly string[], position: TagPosition): CacheTagError =>
    new CacheTagError(
      `unknown option ${show(name)}; the options are ${known.join(', ')}${didYouMean(name, known, OF_THE_CACHE)}`,
      position,
    ),

  tooFewArguments: (position: TagPosition): CacheTagError =>
    new CacheTagError('it needs a timeout and a fragment name, for example: 500 sidebar', position),

  repeatedKeyword: (name: string, position: TagPosition): CacheTagError =>
    new CacheTagError(`the keyword "${name}" is given twice; keep one`, position),

  keywordWithoutValue: (name: string, position: TagPosition): CacheTagError =>
    new CacheTagError(
      `the keyword "${name}" has no value; write ${name}=... without spaces around =`,
      position,
    ),

  unnamedValue: (text: string, position: TagPosition): CacheTagError =>
    new CacheTagError(
      `nocache is given ${show(text)} without a name; it takes only values with a name, for example id=product.id`,
      position,
    ),

  valueAfterKeyword: (text: string, position: TagPosition): CacheTagError =>
    new CacheTagError(
      `the value ${show(text)} comes after a keyword; put vary-on values before the keywords`,
      position,
    ),

  bareOperator: (operator: string, position: TagPosition): CacheTagError =>
    new CacheTagError(
      `the operator ${show(operator)} is between arguments; put parentheses around the whole expression, or separate all arguments by commas`,
      position,
    ),

  mixedSeparators: (text: string, position: TagPosition): CacheTagError =>
    new CacheTagError(
      `a comma is missing in ${show(text)}; separate all arguments by commas, or all by spaces, and put parentheses around an expression with a space in it`,
      position,
    ),

  emptyArgument: (position: TagPosition): CacheTagError =>
    new CacheTagError('there is nothing between two commas, or after the last one', position),

  unclosed: (what: string, position: TagPosition): CacheTagError =>
    new CacheTagError(`${what} is not closed`, position),

  /** @param found - What is in its place. */
  unquotedName: (found: unknown, position: TagPosition): CacheTagError =>
    new CacheTagError(
      typeof found === 'number'
        ? `the fragment name is ${found}; the timeout comes first, then the name, a quoted text: ${found} "sidebar"`
        : 'the fragment name must be a quoted text, for example "sidebar"; it is never a variable',
      position,
    ),

  /** @param end - As it is written in the engine. */
  missingEnd: (position: TagPosition, found?: string, end = 'endcache'): CacheTagError =>
    new CacheTagError(`the ${end} is missing${inItsPlace(found)}`, position),

  /** @param end - As it is written in the engine. */
  strayEnd: (position: TagPosition, end = 'endcache'): CacheTagError =>
    new CacheTagError(`this ${end} has no cache tag before it`, position),

  wrongEnd: (name: string, position: TagPosition): CacheTagError =>
    new CacheTagError(
      `this endcache names ${show(name)}; name the fragment that it closes, or none`,
      position,
    ),

  timeout: (value: unknown, position: FragmentPosition): CacheTagError =>
    new CacheTagError(
      `the timeout is ${show(value)}; give whole seconds, or ${position.fromCode === true ? 'null' : 'none'} for never${ifSwapped(position)}`,
      position,
    ),

  name: (value: unknown, position: TagPosition): CacheTagError =>
    new CacheTagError(
      `the fragment name is ${show(value)}; give a well-formed string of at least one character`,
      position,
    ),

  using: (value: unknown, position: TagPosition): CacheTagError =>
    new CacheTagError(`using is ${show(value)}; give the alias of a cache`, position),

  unknownCache: (message: string, position: TagPosition, cause: unknown): CacheTagError =>
    new CacheTagError(message, position, { cause }),

  tags: (value: unknown, position: TagPosition): CacheTagError =>
    new CacheTagError(
      `tags is, or holds, ${show(value)}; give a well-formed string of at least one character, or a list of them`,
      position,
    ),

  tooManyTags: (count: number, most: number, position: TagPosition): CacheTagError =>
    new CacheTagError(
      `tags holds ${count} of them; give at most ${most}, for example one for a whole table in place of one per row`,
      position,
    ),

  lock: (value: unknown, position: TagPosition): CacheTagError =>
    new CacheTagError(`lock is ${show(value)}; give true or false`, position),

  grace: (name: string, value: unknown, position: TagPosition): CacheTagError =>
    new CacheTagError(`${name} is ${show(value)}; give seconds of at least 0`, position),

  version: (value: unknown, position: TagPosition): CacheTagError =>
    new CacheTagError(`version is ${show(value)}; give a number (or a string)`, position),

  varyOn: (reason: string, position: TagPosition, cause: unknown): CacheTagError =>
    new CacheTagError(reason, position, { cause }),

  synchronous: (alias: string, remedy: string, position: TagPosition): CacheTagError =>
    new CacheTagError(
      `the cache ${show(alias)} answers asynchronously and this is synchronous rendering; ${remedy}, or use a cache that answers at once (local memory)`,
      position,
    ),

  altered: (position: TagPosition): CacheTagError =>
    new CacheTagError(
      'its output was altered (transformed, measured, escaped or cut) by a filter or helper around the tag; over an asynchronous cache the text comes after the template is done, so put the filter or helper inside the tag, or the tag further out, around both, or use a cache that answers at once (local memory)',
      position,
    ),

  stray: (position: TagPosition): CacheTagError =>
    new CacheTagError(
      'its output was carried into another render, where its text is missing; render both inside one asynchronous render, or use a cache that answers at once (local memory)',
      position,
    ),

  alteredHole: (position: TagPosition): CacheTagError =>
    new CacheTagError(
      'the output of nocache was altered (transformed, escaped or cut) by a filter or helper around it; inside a cached body its text comes after the body is done, so put the filter or helper inside the nocache block',
      position,
    ),

  strayHole: (position: TagPosition): CacheTagError =>
    new CacheTagError(
      'the output of nocache was carried out of the cached body around it into another render, where its text is missing; render it there',
      position,
    ),

  unreachableHole: (engine: string, position: TagPosition): CacheTagError =>
    new CacheTagError(
      `this nocache block of ${engine} could not be found again on a hit, because the outermost cache around it is rendered by another engine, or its template cannot be loaded by name; put it outside, or cache with the tag of its own engine, in a template that has a name`,
      position,
    ),

  lostHole: (position: TagPosition): CacheTagError =>
    new CacheTagError(
      'a nocache block in it was not found any more when its body was done; its template was changed meanwhile, so render again',
      position,
    ),

  holeFromCode: (fragment: string | undefined, position: TagPosition): CacheTagError =>
    new CacheTagError(
      `there is a nocache block in it, and ${fragment === undefined ? 'what' : `the fragment ${show(fragment)}, which`} is rendered around it from code cannot fill that on a hit; render it with the engine's cache tag, or pass the option holes, for example holes: registered.holes(context)`,
      position,
    ),

  holeInValue: (position: TagPosition): CacheTagError =>
    new CacheTagError(
      'this nocache block is rendered inside a value or a page that is stored as a whole and cannot be filled on a hit; render it outside of the producer, or give responseCache the option holes and render with res.render',
      position,
    ),

  asynchronousHole: (position: TagPosition): CacheTagError =>
    new CacheTagError(
      'a nocache block in it is rendered asynchronously and this is synchronous rendering; render asynchronously',
      position,
    ),

  readInPage: (input: string): CacheTagError =>
    new CacheTagError(
      `the page's template reads ${show(input)} outside of nocache, and the page is to be kept: one user's output would reach others; move that part into nocache, let the page say Vary: Cookie or Cache-Control: private, or leave out the option strict of responseCache and it is not stored`,
    ),

  undeclaredRead: (
    input: string,
    position: TagPosition & { readonly fromCode?: boolean },
  ): CacheTagError =>
    new CacheTagError(
      `its body reads ${show(input)}, which is not in its vary-on: one user's output would reach others; add what is read to its vary-on${position.fromCode === true ? ' and its name to inputs' : ''}, move that part into nocache, or give the option strict: false and it is not stored`,
      position,
    ),
}
