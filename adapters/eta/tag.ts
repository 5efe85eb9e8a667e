import type { CacheTagError } from '../../src/errors.js'
import { parseTagArguments, unquote, type Dialect } from '../../src/fragment/arguments.js'

/** How arguments are spelt in an Eta template: as JavaScript. */
export const DIALECT: Dialect = {
  quotes: '"\'`',
  filterBar: false,
  operatorWords: ['in', 'instanceof', 'typeof', 'void', 'delete', 'new', 'await', 'yield', 'of'],
  comments: true,
}

const SPACE = String.raw`(?:\s|/\*[^]*?\*/)`
const COMMENTS = new RegExp(`${SPACE}+$`)
const OPENING = new RegExp(`^cache(?:${SPACE}+|$)`)
const ENDING = new RegExp(`^endcache(?:${SPACE}+|(?=;)|$)`)

/** What can begin an argument and cannot continue an expression that began with `cache`. */
const BEGINS_ARGUMENT = /^(?:[\w$"'{\p{ID_Start}]|\.\d|[-+](?=[\w$.("'])|[!~](?!=))/u
const CONTINUES_EXPRESSION = /^(?:in|instanceof)(?![\w$])/

/**
 * The arguments of a cache tag.
 *
 * @param code - What stands in the tag of the template.
 * @returns `undefined`: it is no cache tag but JavaScript with a variable of that name.
 */
export function argumentsOf(code: string): string | undefined {
  const opening = OPENING.exec(code)
  if (opening === null) return undefined
  const rest = withoutSemicolon(code.slice(opening[0].length))
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
  const ending = ENDING.exec(code)
  if (ending === null) return undefined
  const rest = withoutSemicolon(code.slice(ending[0].length))
  if (/^[=(.,?:[&|+\-*/%<>^!`]/.test(rest)) return undefined
  return unquote(rest.replace(new RegExp(`${SPACE}+$`), ''))
}

const NOCACHE = new RegExp(`^(end)?nocache(?:${SPACE}+|(?=;)|$)`)

/**
 * What a tag is as a nocache tag, and what it gives, which must be nothing.
 *
 * @returns `undefined`: it is none but JavaScript with a variable of that name.
 */
export function nocacheOf(
  code: string,
): { readonly ends: boolean; readonly rest: string } | undefined {
  const match = NOCACHE.exec(code)
  if (match === null) return undefined
  const rest = withoutSemicolon(code.slice(match[0].length)).replace(COMMENTS, '')
  if (rest !== '' && !BEGINS_ARGUMENT.test(rest)) return undefined
  return CONTINUES_EXPRESSION.test(rest) ? undefined : { ends: match[1] !== undefined, rest }
}

function withoutSemicolon(code: string): string {
  return code.replace(/\s*;?\s*$/, '')
}
