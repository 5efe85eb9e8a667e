import type { Lexer, Tokenizer } from './engine.js'
import { lexLike } from './tag-source.js'

/**
 * Code for whether what is put out at this place of the template is dropped: at the top of a template that
 * extends another it is, unless a `set` block takes it.
 */
export function isDroppedAt(tokens: Tokenizer, lexer: Lexer): string {
  return isInSetBlock(tokens, lexer) ? 'false' : 'frame.topLevel && parentTemplate'
}

/** Read from the source, since the engine's parser does not tell what is open around a tag. */
function isInSetBlock(tokens: Tokenizer, lexer: Lexer): boolean {
  const { str, index } = tokens
  if (!str.includes('endset', index)) return false
  const before = lexLike(tokens, str.slice(0, index), lexer)
  let open = 0
  let words: unknown[] = []
  for (let token = before.nextToken(); token !== null; token = before.nextToken()) {
    if (token.type === 'block-start') words = []
    else if (token.type === 'block-end') {
      if (words[0] === 'endset') open = Math.max(0, open - 1)
      else if (words[0] === 'set' && !words.includes('=')) open++
    } else if (token.type !== 'whitespace') words.push(token.value)
  }
  return open > 0
}
