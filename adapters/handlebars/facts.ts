import type { Place } from './syntax.js'

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
  readonly holes: Readonly<Record<string, HoleFacts>>
  /** The variables that the vary-on values of its cache tags name, as they are written, by {@link placeOf}. */
  readonly varyOn?: Readonly<Record<string, readonly string[]>>
}

/** Tells the cache tags of a template apart. */
export function placeOf(fragment: string, start: Place | undefined): string {
  return `${start?.line ?? ''}:${start?.column ?? ''}:${fragment}`
}

/** A nocache block. */
export interface HoleFacts {
  /** The number of its program in the compiled template; -1: not known. */
  readonly program: number
  /** How many blocks are around it. */
  readonly level: number
}

export const FACTS_FORM = 2

/** The property of a compiled template that holds its facts. */
export const FACTS = 'fragcache'

/** How Handlebars' code calls the helper of a nocache block, with the number of its program. */
const CALLS =
  /"(\d+-[0-9a-f]{12})",\{"name":"nocache","hash":\{[^]*?"fn":container\.program\((\d+),/g

/**
 * Gives each nocache block the number of its program, which only the code tells.
 *
 * @param code - What Handlebars made of the template these facts are of. No text in it can look like a
 *   call, since its quotes would be escaped.
 */
export function withPrograms(facts: TemplateFacts, code: string): TemplateFacts {
  const holes = { ...facts.holes }
  for (const [, id = '', program] of code.matchAll(CALLS)) {
    const hole = holes[id]
    if (hole !== undefined) holes[id] = { ...hole, program: Number(program) }
  }
  return { ...facts, holes }
}

/** The facts in a compiled template, if they are of this form. */
export function factsIn(spec: object): TemplateFacts | undefined {
  const facts = (spec as Record<string, TemplateFacts | undefined>)[FACTS]
  if (facts !== undefined) return facts.form === FACTS_FORM ? facts : undefined
  return factsInCode(codeOf(spec))
}

/** The code of all programs of a compiled template. */
export function codeOf(spec: object): string {
  return Object.values(spec).filter(isFunction).join('\n')
}

function isFunction(value: unknown): boolean {
  return typeof value === 'function'
}

/** As JSON in Base64, facts begin with this in every form. */
const FIRST = toBase64('{"form')

/** A string that is nothing but a mark: quotes in a text would be escaped. Tools may change the quotes. */
const MARKS = new RegExp(`(["'\`])${FACTS}:(${FIRST}[\\w-]+)\\1`, 'g')

function toBase64(text: string): string {
  return Buffer.from(text).toString('base64url')
}

/** A string, as JavaScript, that stands for facts in the code of a template. */
export function markOf(facts: TemplateFacts): string {
  return `"${FACTS}:${toBase64(JSON.stringify(facts))}"`
}

/** The facts whose mark is in the code of a template, if they are of this form. */
export function factsInCode(code: string): TemplateFacts | undefined {
  // A program that shows a mark as its text comes before.
  const mark = [...code.matchAll(MARKS)].at(-1)?.[2]
  if (mark === undefined) return undefined
  const facts = JSON.parse(Buffer.from(mark, 'base64url').toString()) as TemplateFacts
  return facts.form === FACTS_FORM ? withPrograms(facts, code) : undefined
}

/** The code of a template without its mark. */
export function withoutMark(code: string): string {
  return code.replace(MARKS, '""')
}

/** A value as JavaScript that may be in a script element too. */
export function toLiteral(value: unknown): string {
  return JSON.stringify(value).replace(UNSAFE, escapeUnit)
}

const UNSAFE = /[\u2028\u2029<]/g

function escapeUnit(unit: string): string {
  return `\\u${unit.charCodeAt(0).toString(16).padStart(4, '0')}`
}
