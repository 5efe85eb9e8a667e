import {
  parseNamedValues,
  parseTagArguments,
  type ArgumentSyntax,
  type TagArguments,
} from '../../src/fragment/arguments.js'
import type { ArgumentSource } from '../../src/fragment/arguments.js'
import { faults } from '../../src/fragment/faults.js'
import type { TagPosition } from '../../src/errors.js'
import type { Lexer, Node, Parser, Tokenizer } from './engine.js'
import { nunjucksFaults } from './faults.js'

const DIALECT: ArgumentSyntax = {
  quotes: `"'`,
  filterBar: true,
  operatorWords: ['and', 'or', 'not', 'in', 'is', 'if', 'else'],
  comments: false,
}

/**
 * Delimiters that no argument holds, so that an argument is read alone as it is written: in its own
 * template the engine takes the `}}` of a dict for the end of an output.
 */
const ALONE = {
  blockStart: '\u0001(',
  blockEnd: '\u0001)',
  variableStart: '\u0002(',
  variableEnd: '\u0002)',
  commentStart: '\u0003(',
  commentEnd: '\u0003)',
}

/** The text in a tag after its name. The parser is moved to the end of the tag. */
function cut(tokens: Tokenizer, position: TagPosition): ArgumentSource {
  const { str, index, tags } = tokens
  let quote = ''
  for (let at = index; at < str.length; at++) {
    const character = str[at] as string
    if (quote !== '') {
      if (character === '\\') at++
      else if (character === quote) quote = ''
    } else if (character === '"' || character === "'") {
      quote = character
    } else if (str.startsWith(tags.BLOCK_END, character === '-' ? at + 1 : at)) {
      tokens.forwardN(at - index)
      return { text: str.slice(index, at), offset: index }
    }
  }
  throw faults.unclosed(quote === '' ? 'the tag' : `the text that begins with ${quote}`, position)
}

/** The expressions in a tag. */
class Expressions {
  readonly #parser: Parser
  readonly #lexer: Lexer
  readonly #begin: number
  readonly #position: TagPosition

  /** @param begin - Where the tag's arguments begin in the template. */
  constructor(parser: Parser, lexer: Lexer, begin: number, position: TagPosition) {
    this.#parser = parser
    this.#lexer = lexer
    this.#begin = begin
    this.#position = position
  }

  /** @throws CacheTagError: an argument is no expression. */
  parse(argument: ArgumentSource): Node {
    const { text } = argument
    // Django spells it so; a variable of this name is not to be expected.
    const tokens = this.#lexer.lex(`${text === 'None' ? 'none' : text} ${ALONE.blockEnd}`, {
      tags: ALONE,
    })
    tokens.in_code = true
    const before = this.#parser.tokens.str.slice(0, this.#begin + argument.offset)
    const lines = before.split('\n')
    tokens.lineno = lines.length - 1
    tokens.colno = (lines.at(-1) as string).length
    const alone = new this.#parser.constructor(tokens)
    const fail = (reason: string) => nunjucksFaults.expression(text, reason, this.#position)
    let expression: Node
    try {
      expression = alone.parseExpression()
    } catch (error) {
      throw fail((error as Error).message.replace(ALONE.blockEnd, 'the end'))
    }
    const rest = alone.nextToken()
    if (rest?.type === 'block-end') return expression
    throw fail(`${JSON.stringify(rest?.value)} is not expected there`)
  }
}

/** A cache tag's arguments. */
export class TagSource {
  readonly arguments: TagArguments
  readonly #expressions: Expressions

  /** @throws CacheTagError: every fault that can be seen without evaluating anything. */
  constructor(parser: Parser, lexer: Lexer, position: TagPosition) {
    const { text, offset } = cut(parser.tokens, position)
    this.arguments = parseTagArguments(text, DIALECT, position)
    const fragment = this.arguments.name
    this.#expressions = new Expressions(parser, lexer, offset, { ...position, fragment })
  }

  /** @throws CacheTagError: an argument is no expression. */
  parse(argument: ArgumentSource): Node {
    return this.#expressions.parse(argument)
  }
}

/**
 * Reads the values that a nocache tag names. The parser is moved to the end of the tag.
 *
 * @throws CacheTagError: they are written wrongly.
 */
export function readNamedValues(
  parser: Parser,
  lexer: Lexer,
  position: TagPosition,
): ReadonlyMap<string, Node> {
  const { text, offset } = cut(parser.tokens, position)
  const expressions = new Expressions(parser, lexer, offset, position)
  const sources = parseNamedValues(text, DIALECT, position)
  return new Map(Array.from(sources, ([name, source]) => [name, expressions.parse(source)]))
}

/** Reads the rest of a tag that has no arguments. The parser is moved to its end. */
export function readRest(tokens: Tokenizer, position: TagPosition): string {
  return cut(tokens, position).text.trim()
}

/**
 * Reads the rest of an end tag.
 *
 * @throws CacheTagError: it names another fragment.
 */
export function readEnd(tokens: Tokenizer, position: TagPosition, fragment: string): void {
  const name = cut(tokens, position).text.trim()
  if (name === '' || name === fragment || name.slice(1, -1) === fragment) return
  throw faults.wrongEnd(name, position)
}

/** The tokens of a source that is written with the delimiters and the settings of another. */
export function lexLike(tokens: Tokenizer, source: string, lexer: Lexer): Tokenizer {
  const { tags, trimBlocks, lstripBlocks } = tokens
  const delimiters = {
    blockStart: tags.BLOCK_START,
    blockEnd: tags.BLOCK_END,
    variableStart: tags.VARIABLE_START,
    variableEnd: tags.VARIABLE_END,
    commentStart: tags.COMMENT_START,
    commentEnd: tags.COMMENT_END,
  }
  return lexer.lex(source, { tags: delimiters, trimBlocks, lstripBlocks })
}
