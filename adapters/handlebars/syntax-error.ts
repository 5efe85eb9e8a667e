import type { CacheTagError, TagPosition } from '../../src/errors.js'
import { faults } from '../../src/fragment/faults.js'
import { blockFaults } from './faults.js'

const END = '{{/cache}}'

const OPENING = /\{\{~?#\s*cache\s((?:"[^"]*"|'[^']*'|[^}])*)/g
const PIECE = /(?:"[^"]*"?|'[^']*'?|\([^)]*\)?|\[[^\]]*\]?|[^\s,"'([])+|,/g

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
  const [, misnamed, misnamedLine] = /^cache doesn't match (\S+) - (\d+):/.exec(message) ?? []
  if (misnamed !== undefined) {
    return blockFaults.wrongEnd(misnamed, { template, line: Number(misnamedLine) })
  }
  const line = Number(/^Parse error on line (\d+)/.exec(message)?.[1])
  if (Number.isNaN(line)) return undefined
  const lineAt = lineCounter(source)
  for (const { index, 0: opening, 1: args = '' } of source.matchAll(OPENING)) {
    const first = lineAt(index)
    if (line < first || line > lineAt(index + opening.length)) continue
    const pieces: readonly string[] = args.match(PIECE) ?? []
    const [, name, ...rest] = pieces.filter((piece) => piece !== ',')
    const fragment = /^(["'])(.+)\1$/.exec(name ?? '')?.[2]
    const position = { template, line: first, fragment }
    if (pieces.includes(',')) return blockFaults.commas(position)
    const fault = findFault(rest, position)
    if (fault !== undefined) return fault
  }
  if (/got '(?:EOF|OPEN_ENDBLOCK|CLOSE|INVALID)'/.test(message)) {
    return findUnbalanced(source, template)
  }
  return undefined
}

/** The first tag that is not closed, or the first end without a tag. */
function findUnbalanced(source: string, template: string | undefined): CacheTagError | undefined {
  const open: TagPosition[] = []
  const lineAt = lineCounter(source)
  for (const match of source.matchAll(/\{\{~?(#|\/)\s*cache(?=[\s~}])\s*([^}]*)/g)) {
    const line = lineAt(match.index)
    if (match[1] === '#') {
      const fragment = /^\S+\s+(["'])(.+?)\1/.exec(match[2] ?? '')?.[2]
      open.push({ template, line, fragment })
    } else if (open.pop() === undefined) {
      return faults.strayEnd({ template, line }, END)
    }
  }
  const unclosed = open.at(-1)
  return unclosed === undefined ? undefined : faults.missingEnd(unclosed, undefined, END)
}

function findFault(pieces: readonly string[], position: TagPosition): CacheTagError | undefined {
  let keywords = 0
  for (let i = 0; i < pieces.length; i++) {
    const piece = pieces[i] as string
    if (/^[-+*/%<>=&|^?:!~]+$/.test(piece)) return faults.bareOperator(piece, position)
    const [given, keyword] = /^(\w+)=/.exec(piece) ?? []
    if (keyword === undefined) {
      if (keywords > 0) return faults.valueAfterKeyword(piece, position)
      continue
    }
    keywords++
    if (given !== piece) continue
    // The value may be after white space.
    const next = pieces[++i]
    if (next === undefined || /^\w+=/.test(next))
      return faults.keywordWithoutValue(keyword, position)
  }
  return undefined
}

/** @returns The line of a place that is not before the one asked for last. */
function lineCounter(source: string): (index: number) => number {
  let line = 1
  let next = source.indexOf('\n')
  return (index) => {
    for (; next >= 0 && next < index; next = source.indexOf('\n', next + 1)) line++
    return line
  }
}
