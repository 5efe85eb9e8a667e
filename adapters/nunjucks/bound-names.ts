import type { Delimiters, Lexer, Token, Tokenizer } from './engine.js'

type Names = Pick<ReadonlySet<string>, 'has'>

const LOOPS = ['for', 'asyncEach', 'asyncAll']

const boundIn = new WeakMap<Tokenizer, Names>()

/**
 * The variables of a template's loops and the parameters of its macros and call blocks. The engine's
 * compiled code holds these in variables of its own, as it does macros and imports. Rather too many than
 * too few: what stands in raw text counts too.
 *
 * @param tokens - Of the template.
 */
export function boundNames(tokens: Tokenizer, lexer: Lexer): Names {
  let bound = boundIn.get(tokens)
  if (bound === undefined) {
    bound = find(tokens, lexer)
    boundIn.set(tokens, bound)
  }
  return bound
}

function find({ str, tags }: Tokenizer, lexer: Lexer): Names {
  const bound = new Set<string>()
  try {
    for (const [tag, ...rest] of tagsOf(lexer.lex(str, { tags: toSettings(tags) }))) {
      const name = tag?.value ?? ''
      const made = LOOPS.includes(name)
        ? loopVariables(rest)
        : name === 'call'
          ? parameters(rest)
          : name === 'macro'
            ? parameters(rest.slice(1))
            : []
      for (const one of made) bound.add(one)
    }
  } catch {
    // Raw text need not be made of tokens.
    return { has: () => true }
  }
  return bound
}

function toSettings(tags: Delimiters): Record<string, string> {
  return {
    blockStart: tags.BLOCK_START,
    blockEnd: tags.BLOCK_END,
    variableStart: tags.VARIABLE_START,
    variableEnd: tags.VARIABLE_END,
    commentStart: tags.COMMENT_START,
    commentEnd: tags.COMMENT_END,
  }
}

/** What stands in each tag. */
function* tagsOf(tokens: Tokenizer): Generator<Token[]> {
  let tag: Token[] | undefined
  for (let token = tokens.nextToken(); token !== null; token = tokens.nextToken()) {
    if (token.type === 'block-start') tag = []
    else if (token.type === 'block-end') {
      if (tag !== undefined) yield tag
      tag = undefined
    } else if (token.type !== 'whitespace') tag?.push(token)
  }
}

/** The names in front of what is looped over. */
function loopVariables(tokens: readonly Token[]): string[] {
  const end = tokens.findIndex(({ value }) => value === 'in')
  return tokens.slice(0, Math.max(0, end)).flatMap(({ type, value }) => {
    return type === 'symbol' ? [value] : []
  })
}

/** The names in the parentheses that it begins with, but for defaults. */
function parameters(tokens: readonly Token[]): string[] {
  if (tokens[0]?.type !== 'left-paren') return []
  const names: string[] = []
  let depth = 0
  for (const [i, { type, value }] of tokens.entries()) {
    const previous = tokens[i - 1]?.type
    if (type.startsWith('left-')) depth++
    if (type.startsWith('right-') && --depth === 0) break
    const isFirst = previous === 'left-paren' || previous === 'comma'
    if (depth === 1 && type === 'symbol' && isFirst) names.push(value)
  }
  return names
}
