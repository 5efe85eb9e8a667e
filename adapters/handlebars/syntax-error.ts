import type { CacheTagError, TagPosition } from '../../src/errors.js'
import { faults } from '../../src/fragment/faults.js'
import { blockFaults } from './faults.js'

const OPENING = /\{\{~?#\s*cache\s((?:"[^"]*"|'[^']*'|[^}])*)/g
const PIECE = /(?:"[^"]*"|'[^']*'|\([^)]*\)|\[[^\]]*\]|[^\s,"'([])+|,/g

/**
 * Says in the words of the other engines what Handlebars' parser could not make sense of, if that
 * is in a cache tag.
 *
 * @param message - The parser's, which names the line.
 */
export function explainSyntaxError(
  message: string,
  source: string,
  template: string | undefined,
): CacheTagError | undefined {
  const line = Number(/^Parse error on line (\d+)/.exec(message)?.[1])
  if (Number.isNaN(line)) return undefined
  for (const { index, 0: opening, 1: args = '' } of source.matchAll(OPENING)) {
    const first = lineAt(source, index)
    if (line < first || line > lineAt(source, index + opening.length)) continue
    const pieces: readonly string[] = args.match(PIECE) ?? []
    const [, name, ...rest] = pieces.filter((piece) => piece !== ',')
    const fragment = /^(["'])(.+)\1$/.exec(name ?? '')?.[2]
    const position = { template, line: first, fragment }
    if (pieces.includes(',')) return blockFaults.commas(position)
    const fault = findFault(rest, position)
    if (fault !== undefined) return fault
  }
  return undefined
}

function findFault(pieces: readonly string[], position: TagPosition): CacheTagError | undefined {
  let keywords = 0
  for (let i = 0; i < pieces.length; i++) {
    const piece = pieces[i] as string
    const [given, keyword] = /^(\w+)=/.exec(piece) ?? []
    if (keyword === undefined) {
      if (keywords > 0) return faults.valueAfterKeyword(piece, position)
      continue
    }
    keywords++
    if (given !== piece) continue
    // The value may stand after white space.
    const next = pieces[++i]
    if (next === undefined || /^\w+=/.test(next))
      return faults.keywordWithoutValue(keyword, position)
  }
  return undefined
}

function lineAt(source: string, index: number): number {
  return source.slice(0, index).split('\n').length
}
