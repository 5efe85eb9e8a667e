/** A node of Handlebars' syntax tree. */
export interface Node {
  readonly type: string
  readonly loc?: { readonly start: Place; readonly end: Place }
  path?: Node
  readonly name?: Node
  readonly params?: Node[]
  readonly hash?: { readonly pairs: readonly { readonly key: string; readonly value: Node }[] }
  readonly program?: Node | null
  readonly inverse?: Node | null
  readonly body?: readonly Node[]
  readonly blockParams?: readonly string[] | null
  readonly parts?: readonly string[]
  readonly depth?: number
  readonly data?: boolean
  readonly original?: unknown
  readonly value?: unknown
}

/** Lines count from 1, columns from 0. */
export interface Place {
  readonly line: number
  readonly column: number
}

/** Whether a path is a plain name: no `this.`, `../` or `@` before it, nothing after it. */
export function isName({ parts, depth, original }: Node, name: string): boolean {
  return original === name && !depth && (parts === undefined || parts.length === 1)
}

/** Whether a path begins with `this`, `./` or `../`, so that it is neither helper nor block parameter. */
export function isScoped({ original }: Node): boolean {
  return typeof original === 'string' && /^\.|this\b/.test(original)
}

/** Whether a call has arguments, so that it can only be a helper's. */
export function hasArguments({ type, params, hash }: Node): boolean {
  return type === 'SubExpression' || params?.length !== 0 || Boolean(hash)
}

/** The lines of a source as Handlebars counts them. */
export function linesOf(source: string): readonly string[] {
  return source.split(/\r\n|\r|\n/)
}

/** A part of a source, by the lines and columns at its ends. */
export function sliceLines(lines: readonly string[], { loc }: Node): string | undefined {
  if (loc === undefined) return undefined
  const { start, end } = loc
  const taken = lines.slice(start.line - 1, end.line)
  const last = taken.length - 1
  if (last < 0) return undefined
  taken[last] = (taken[last] as string).slice(0, end.column)
  taken[0] = (taken[0] as string).slice(start.column)
  return taken.join('\n')
}

/**
 * The variables that expressions name, and whose: `user.id` of what a block is of, `../user.id` of one around,
 * `@root.user.id` of the page, `@user.id` of the data, and `|1.0|id` of the first parameter of the block around.
 *
 * @param blocks - The parameters of the blocks around, from the inside out.
 */
export function variablesIn(
  expressions: readonly Node[],
  blocks: readonly (readonly string[])[],
): string[] {
  return expressions.flatMap((one): string[] => {
    const { type, parts = [], depth = 0, data, params = [], hash } = one
    const values = (hash?.pairs ?? []).map(({ value }) => value)
    const inside = variablesIn([...params, ...values], blocks)
    const [first = '', ...rest] = parts
    if (type !== 'PathExpression' || parts.length === 0) return inside
    if (data === true) return [`@${parts.join('.')}`, ...inside]
    const isScopedPath = depth > 0 || isScoped(one)
    const level = isScopedPath ? -1 : blocks.findIndex((block) => block.includes(first))
    if (level < 0) return ['../'.repeat(depth) + parts.join('.'), ...inside]
    return [placeOfParam(level, blocks[level]?.indexOf(first) ?? 0) + rest.join('.'), ...inside]
  })
}

/** What a block's parameter is called that so many blocks further out has. */
export function placeOfParam(level: number, at: number): string {
  return `|${level}.${at}|`
}

/** How the context of so many blocks further out is called. */
export function placeOfContext(depth: number): string {
  return depth === 0 ? '.' : '../'.repeat(depth)
}
