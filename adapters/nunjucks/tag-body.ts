import { faults } from '../../src/fragment/faults.js'
import type { TagPosition } from '../../src/errors.js'
import type { Node, Parser, Token } from './engine.js'
import { nunjucksFaults } from './faults.js'

/** The tags with a body. */
export type TagName = 'cache' | 'nocache'

interface OpenTag {
  readonly name: TagName
  readonly position: TagPosition
}

/** The tags that are open in a parser, innermost last. */
const openTags = new WeakMap<Parser, OpenTag[]>()

/** The fault of an end tag that closes nothing. */
export function strayEnd(parser: Parser, end: Token, template: string | undefined): Error {
  const line = end.lineno + 1
  const innermost = openTags.get(parser)?.at(-1)
  if (innermost === undefined) {
    return end.value === 'endcache'
      ? faults.strayEnd({ template, line })
      : nunjucksFaults.strayHoleEnd({ template, line })
  }
  if (end.value === 'endcache' && innermost.name === 'cache') {
    return nunjucksFaults.crossedEnd({ ...innermost.position, line })
  }
  return nunjucksFaults.crossedTag(end.value, innermost.name, innermost.position.line as number, {
    ...innermost.position,
    line,
  })
}

/**
 * Reads the body of a tag up to its end, whose name is read too.
 *
 * @throws CacheTagError: the end is missing.
 */
export function parseBody(
  parser: Parser,
  name: TagName,
  position: TagPosition,
): { readonly body: Node; readonly end: Token } {
  const open = openTags.get(parser) ?? []
  openTags.set(parser, open)
  open.push({ name, position })
  let body: Node
  try {
    body = parser.parseUntilBlocks(`end${name}`)
  } catch (error) {
    // The end of what is around the tag.
    const found = /^unknown block tag: ((?:end|else|elif|elseif|case$|default$)\w*)/.exec(
      messageOf(error),
    )?.[1]
    throw found === undefined ? error : missingEnd(name, position, found)
  }
  open.pop()
  const end = parser.nextToken()
  if (end === null) throw missingEnd(name, position)
  return { body, end }
}

function missingEnd(name: TagName, position: TagPosition, found?: string): Error {
  const fault = name === 'cache' ? faults.missingEnd : nunjucksFaults.missingHoleEnd
  return fault(position, found)
}

function messageOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error)
}
