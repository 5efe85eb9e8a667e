import type { CacheTagError } from '../../src/errors.js'
import { parseTagArguments, unquote, type ArgumentSyntax } from '../../src/fragment/arguments.js'

/** How arguments are spelt in an Eta template: as JavaScript. */
export const DIALECT: ArgumentSyntax = {
  quotes: '"\'`',
  filterBar: false,
  operatorWords: ['in', 'instanceof', 'typeof', 'void', 'delete', 'new', 'await', 'yield', 'of'],
  comments: true,
}

/** What can begin an argument and cannot continue an expression that began with `cache`. */
const BEGINS_ARGUMENT = /^(?:[\w$"'{\p{ID_Start}]|\.\d|[-+](?=[\w$.("'])|[!~](?!=))/u
const CONTINUES_EXPRESSION = /^(?:in|instanceof)(?![\w$])/

/**
 * The arguments of a cache tag.
 *
 * @param code - The content of the tag in the template.
 * @returns `undefined`: it is not a cache tag but JavaScript with a variable of that name.
 */
export function argumentsOf(code: string): string | undefined {
  const begin = afterWord(code, 'cache')
  if (begin === undefined || code[begin] === ';') return undefined
  const rest = withoutSemicolon(code.slice(begin))
  if (rest === '') return code.includes(';') ? undefined : rest
  if (CONTINUES_EXPRESSION.test(rest)) return undefined
  return BEGINS_ARGUMENT.test(rest) || isBracketedTimeout(rest) ? rest : undefined
}

/** `cache (timeout) name`, which is no JavaScript, as against `cache (argument)`. */
function isBracketedTimeout(rest: string): boolean {
  if (!/^[([]/.test(rest)) return false
  let name: string | undefined
  try {
    name = parseTagArguments(rest, DIALECT).name
  } catch (error) {
    name = (error as CacheTagError).fragment
  }
  return name !== undefined && /^[\w$\p{ID_Start}][^()[\]{}=;]*$/u.test(name)
}

/**
 * The name an endcache tag gives, the empty text for none.
 *
 * @returns `undefined`: it is no endcache tag but JavaScript with a variable of that name.
 */
export function endOf(code: string): string | undefined {
  const begin = afterWord(code, 'endcache')
  if (begin === undefined) return undefined
  const rest = withoutTrail(code.slice(begin))
  return /^[=(.,?:[&|+\-*/%<>^!`]/.test(rest) ? undefined : unquote(rest)
}

/**
 * What a tag is as a nocache tag, and what it gives.
 *
 * @returns `undefined`: it is none but JavaScript with a variable of that name.
 */
export function nocacheOf(
  code: string,
): { readonly ends: boolean; readonly rest: string } | undefined {
  const ends = code.startsWith('end')
  const begin = afterWord(code, ends ? 'endnocache' : 'nocache')
  if (begin === undefined) return undefined
  const name = withoutTrail(code.slice(begin))
  const rest = ends || name === '' ? name : withoutSemicolon(code.slice(begin))
  if (rest !== '' && !BEGINS_ARGUMENT.test(rest)) return undefined
  return CONTINUES_EXPRESSION.test(rest) ? undefined : { ends, rest }
}

/** @returns Where what follows a word and the blanks after it begins, if the code begins with it. */
function afterWord(code: string, word: string): number | undefined {
  if (!code.startsWith(word)) return undefined
  const begin = skipBlanks(code, word.length)
  const isWhole = begin > word.length || begin === code.length || code[begin] === ';'
  return isWhole ? begin : undefined
}

const BLANKS = /\s*/y

/** Where white space and comments end that begin at a place. */
function skipBlanks(code: string, begin: number): number {
  let at = begin
  for (;;) {
    BLANKS.lastIndex = at
    BLANKS.test(code)
    at = BLANKS.lastIndex
    const end = code.startsWith('/*', at) ? code.indexOf('*/', at + 2) : -1
    if (end < 0) return at
    at = end + 2
  }
}

const TEXT = /"(?:\\[^]|[^"\\])*"|'(?:\\[^]|[^'\\])*'/y

/** Code that begins with a name, in quotes or without, less the blanks and the semicolon behind it. */
function withoutTrail(code: string): string {
  const bare = withoutBlanks(code)
  return bare.endsWith(';') ? withoutBlanks(bare.slice(0, -1)) : bare
}

function withoutBlanks(code: string): string {
  TEXT.lastIndex = 0
  let at = TEXT.test(code) ? TEXT.lastIndex : 0
  let end = at
  while (at < code.length) {
    const next = skipBlanks(code, at)
    // A comment that is not closed.
    if (next === at && code.startsWith('/*', at)) return code
    if (next === at) end = ++at
    else at = next
  }
  return code.slice(0, end)
}

function withoutSemicolon(code: string): string {
  const bare = code.trimEnd()
  return bare.endsWith(';') ? bare.slice(0, -1).trimEnd() : bare
}
