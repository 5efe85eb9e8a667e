import { CacheTagError, show, type TagPosition } from '../../src/errors.js'
import type { HelperOptions } from './engine.js'
import { positionOf } from './helper.js'
import { isCalledForValue } from './scope.js'

/**
 * The helper `cacheTags`, for the keyword `tags`: its arguments make one tag, with colons between them, and each named
 * one a tag of its own name.
 *
 *     (cacheTags "product" id)              product:7
 *     (cacheTags "shop" product=id)         shop, product:7
 *     (cacheTags product=ids)               product:7, product:8
 */
export function cacheTags(...args: unknown[]): string[] {
  const options = args.pop() as HelperOptions
  if (isCalledForValue(options.data)) return []
  const position = positionOf(options, undefined)
  const groups = args.length === 0 ? [] : [args]
  for (const [name, value] of Object.entries(options.hash)) groups.push([name, value])
  return groups.flatMap((parts) => tagsOfParts(parts, position))
}

/** Where a part is a list, one for each member. */
function tagsOfParts(parts: readonly unknown[], position: TagPosition): string[] {
  let starts = ['']
  for (const [i, part] of parts.entries()) {
    const texts = (Array.isArray(part) ? part : [part]).map((one) => textOfPart(one, position))
    starts = starts.flatMap((start) => texts.map((text) => (i === 0 ? text : `${start}:${text}`)))
  }
  return starts
}

/** A misspelt variable would make one tag of all entries. */
function textOfPart(part: unknown, position: TagPosition): string {
  if (typeof part === 'number' || typeof part === 'bigint') return String(part)
  const text = part instanceof String ? part.valueOf() : part
  if (typeof text === 'string' && text !== '') return text
  throw new CacheTagError(
    `cacheTags: ${show(part)} cannot be part of a tag; give strings and numbers, such as (cacheTags "product" id)`,
    position,
  )
}
