/** A text, a name, or any other character. */
const TOKENS = /"(?:\\[^]|[^"\\])*"|'(?:\\[^]|[^'\\])*'|[\p{ID_Start}$_][\p{ID_Continue}$]*|\S/gu
const NAME = /^[\p{ID_Start}$_]/u

/** The variables that an expression names: `user.id` for `user.id|lower`, and for `user["id"]`. */
export function namesIn(expression: string): string[] {
  const names: string[][] = []
  let path: string[] | undefined
  let [before, last] = ['', '']
  for (const [token] of expression.matchAll(TOKENS)) {
    if (NAME.test(token)) {
      const isFilter = last === '|' && before !== '|'
      if (last === '.') path?.push(token)
      else if (isFilter) path = undefined
      else names.push((path = [token]))
    } else if (last === '[' && /^["']/.test(token)) path?.push(token.slice(1, -1))
    else if (!['.', '?', '[', ']'].includes(token)) path = undefined
    ;[before, last] = [last, token]
  }
  return names.map((parts) => parts.join('.'))
}
