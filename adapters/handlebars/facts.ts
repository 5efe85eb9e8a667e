import type { HoleUses } from './hole-uses.js'

/**
 * What the adapter found out about a template when it was parsed. It travels with the compiled
 * template, precompiled ones included, and is JSON.
 */
export interface TemplateFacts {
  /** Of this form; another release may have another. */
  readonly form: typeof FACTS_FORM
  /** A hash of the source. */
  readonly hash: string
  /** The partials it names. */
  readonly partials: readonly string[]
  /** Whether it names any by an expression. */
  readonly namesByExpression: boolean
  /** Whether it speaks of what a loop sets: `@index` and its kin. */
  readonly usesLoopData: boolean
  readonly holes: Readonly<Record<string, HoleFacts>>
}

/** A nocache block. */
export interface HoleFacts {
  /** The number of its program in the compiled template. */
  program: number
  /** How many blocks stand around it. */
  readonly level: number
  readonly uses: HoleUses
}

export const FACTS_FORM = 1

/** The property of a compiled template that holds its facts. */
export const FACTS = 'fragcache'

/** The facts in a compiled template, if they are of this form. */
export function factsIn(spec: unknown): TemplateFacts | undefined {
  const facts = (spec as Record<string, TemplateFacts | undefined>)[FACTS]
  return facts?.form === FACTS_FORM ? facts : undefined
}
