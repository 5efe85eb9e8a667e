import type { DataFrame } from './engine.js'
import { BUILT_IN, LOOP_DATA, type HoleUses } from './hole-uses.js'
import { originalOf } from './scope.js'
import type { Template } from './template.js'

/** Where a block stands: what it sees, and what is around it. */
export interface Place {
  readonly template: Template | undefined
  readonly context: unknown
  readonly data: DataFrame | undefined
  /** The contexts around, its own first; `undefined`: its template looks at no other. */
  readonly depths: readonly unknown[] | undefined
  readonly blockParams: readonly unknown[] | undefined
  readonly partials: Readonly<Record<string, unknown>> | undefined
  /** A helper, as it was registered where that is known. */
  readonly helper: (name: string) => unknown
  /** Whether a partial, or one that it calls, may speak of what a loop sets. */
  readonly usesLoopData: (partials: readonly string[]) => boolean
}

/**
 * Finds something that a hole uses and that is not the same where the hole stands and where it will be
 * rendered on a hit.
 *
 * @param inner - Where the hole stands.
 * @param outer - Where the tag stands that will render it.
 * @returns How to call it in a message; `undefined`: all is the same.
 */
export function findDifference(uses: HoleUses, inner: Place, outer: Place): string | undefined {
  const sameTemplate = inner.template !== undefined && inner.template === outer.template
  return (
    findInContexts(uses, inner, outer.context, sameTemplate ? outer.depths : depthsIn(outer)) ??
    findInData(uses, inner, outer) ??
    findInBlockParams(uses, inner.blockParams, sameTemplate ? outer.blockParams : undefined) ??
    findInPartials(uses, inner, outer)
  )
}

/**
 * As {@link findDifference}, where what will render the hole is no tag and gives a context that is equal
 * to that of the whole render.
 */
export function findLocal(uses: HoleUses, inner: Place): string | undefined {
  const root = inner.data?.['root']
  const data: DataFrame = { root }
  return (
    findInContexts(uses, inner, root, undefined) ??
    findInData(uses, inner, { data }) ??
    findInBlockParams(uses, inner.blockParams, undefined) ??
    findInPartials(uses, inner, { data, partials: undefined })
  )
}

/** What a template sees around it that is called as a partial. */
function depthsIn({ template, depths }: Place): readonly unknown[] | undefined {
  return template?.isCompat === true ? depths : undefined
}

function findInContexts(
  { context: most, path, names, helpers }: HoleUses,
  { context, depths, helper }: Place,
  outer: unknown,
  outerDepths: readonly unknown[] | undefined,
): string | undefined {
  const isSame = Object.is(context ?? undefined, outer ?? undefined)
  if (most >= 0 && !isSame) return `{{${path ?? 'this'}}}`
  for (let depth = 1; depth <= most; depth++) {
    if (!Object.is(depths?.[depth], outerDepths?.[depth])) return `{{${path ?? '..'}}}`
  }
  if (isSame) return undefined
  // What is no helper is looked up in the context.
  for (const name of names) if (typeof helper(name) !== 'function') return `{{${name}}}`
  const reader = [...names, ...helpers].find(
    (name) => !BUILT_IN.includes(name) && readsThis(helper(name)),
  )
  return reader === undefined ? undefined : `the helper ${reader}, which reads its context`
}

/** Whether a helper's code speaks of the context it is called in. */
function readsThis(helper: unknown): boolean {
  return typeof helper === 'function' && /\bthis\b/.test(Function.prototype.toString.call(helper))
}

function findInData(
  { data }: HoleUses,
  inner: Place,
  outer: Pick<Place, 'data'>,
): string | undefined {
  for (const [depth, name] of data) {
    const frame = frameAt(inner.data, depth)
    const other = frameAt(outer.data, depth)
    if (isSameFrame(frame, other)) continue
    const value = frame?.[name]
    const isSame = Object.is(value, other?.[name])
    // Numbers may be the same by chance, unless they have been since the render began.
    const isFixed = LOOP_DATA.includes(name)
      ? value === undefined
      : typeof value === 'object' ||
        typeof value === 'function' ||
        Object.is(value, outermost(frame)?.[name])
    if (!isSame || !isFixed) return `@${name}`
  }
  return undefined
}

function findInBlockParams(
  { blockParams }: HoleUses,
  inner: readonly unknown[] | undefined,
  outer: readonly unknown[] | undefined,
): string | undefined {
  for (const [level, name] of blockParams) {
    const fromEnd = (inner?.length ?? 0) - level
    const values = inner?.[level]
    if (values === undefined || values !== outer?.[outer.length - fromEnd]) return name
  }
  return undefined
}

function findInPartials(
  { callsPartials, partials, namesByExpression }: HoleUses,
  inner: Place,
  outer: Pick<Place, 'data' | 'partials'>,
): string | undefined {
  if (!callsPartials) return undefined
  // Partials call others, by names that are not known here.
  for (const name of inlineNames(inner.partials, outer.partials)) {
    if (inner.partials?.[name] !== outer.partials?.[name]) return `the inline partial ${name}`
  }
  if (isSameFrame(inner.data, outer.data)) return undefined
  const loopData = LOOP_DATA.find((name) => inner.data?.[name] !== undefined)
  if (loopData === undefined) return undefined
  if (!namesByExpression && !inner.usesLoopData(partials)) return undefined
  return `a partial that may use @${loopData}`
}

function inlineNames(...sets: Place['partials'][]): Set<string> {
  const names = new Set<string>()
  for (const partials of sets) {
    for (const [name, partial] of Object.entries(partials ?? {})) {
      if (isInline(partial)) names.add(name)
    }
  }
  return names
}

/** Whether a partial is a part of a template rather than one of its own. */
export function isInline(partial: unknown): partial is object {
  return typeof partial === 'function' && 'program' in partial
}

function isSameFrame(one: DataFrame | undefined, other: DataFrame | undefined): boolean {
  if (one === undefined || other === undefined) return one === other
  return originalOf(one) === originalOf(other)
}

function frameAt(frame: DataFrame | undefined, depth: number): DataFrame | undefined {
  let at = frame
  for (let i = 0; i < depth; i++) at = at?._parent
  return at
}

function outermost(frame: DataFrame | undefined): DataFrame | undefined {
  let at = frame
  while (at?._parent !== undefined) at = at._parent
  return at
}
