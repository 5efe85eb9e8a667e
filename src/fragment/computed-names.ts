import { privateField } from '../private-field.js'
import {
  isObject,
  LOCALS,
  WholeNames,
  type Alias,
  type Name,
  type Names,
} from './personal-names.js'
import { hasOwnGetter, ownValue } from './properties.js'

/** What a getter read of the visitor. */
export interface Read {
  /** As in the options, such as `session.cart`. */
  readonly path: string
  readonly value: unknown
}

/** What a getter gave to a copy of variables. */
interface Computed {
  readonly value: unknown
  readonly reads: readonly Read[]
}

const computedIn = privateField<object, ReadonlyMap<string, Computed>>()

/** What is read now, while a getter runs for a copy. */
let reads: Read[] | undefined

/** Notes a read for the copy that is made now. @returns Whether there is one. */
export function noteForCopy(path: string, value: unknown): boolean {
  reads?.push({ path, value })
  return reads !== undefined
}

/**
 * A copy of variables with what their getters give, for code that copies them before a template sees them: a read of
 * what a getter gave counts as one of what the getter has read. Each getter runs once, as in that code's own copy.
 *
 * @param seenOf - Returns the variables with their reads watched.
 * @param plainOf - Returns what a watched object is seen instead of.
 * @returns The variables themselves if none of them is what a getter gives.
 */
export function takeGetters<T extends object>(
  variables: T,
  seenOf: () => object,
  plainOf: (value: unknown) => unknown,
): T {
  const names = Object.keys(variables)
  if (!names.some((name) => hasOwnGetter(variables, name))) return variables
  // Without a prototype, which a variable named __proto__ would replace.
  const taken = Object.create(null) as Record<string, unknown>
  const computed = new Map<string, Computed>()
  for (const name of names) {
    if (!hasOwnGetter(variables, name)) {
      taken[name] = Reflect.get(variables, name)
      continue
    }
    const outer = reads
    const own: Read[] = (reads = [])
    try {
      taken[name] = plainOf(Reflect.get(variables, name, seenOf()))
    } finally {
      reads = outer
    }
    if (own.length > 0) computed.set(name, { value: taken[name], reads: own })
  }
  if (computed.size > 0) computedIn.set(taken, computed)
  return taken as T
}

/** Notes that variables have been copied into others. */
export function noteCopyOf(copy: unknown, ...sources: readonly unknown[]): void {
  if (!isObject(copy)) return
  for (const one of sources) {
    const computed = isObject(one) ? computedIn.get(one) : undefined
    if (computed === undefined) continue
    computedIn.set(copy, new Map([...(computedIn.get(copy) ?? []), ...computed]))
  }
}

/** Express gives templates `res.locals` itself too, which every copy of the variables has. */
function computedOf(variables: object): ReadonlyMap<string, Computed> {
  const locals = ownValue(variables, LOCALS)
  return (
    computedIn.get(variables) ?? (isObject(locals) ? computedIn.get(locals) : undefined) ?? NONE
  )
}

const NONE: ReadonlyMap<string, Computed> = new Map()

/** The names in variables, with those whose values getters made of the visitor's. */
export function withComputed(names: Names, variables: object): Names {
  const computed = computedOf(variables)
  if (computed.size === 0 || names instanceof WholeNames) return names
  const all = new Map(names)
  for (const [key, { value: given, reads }] of computed) {
    const known = reads.flatMap(({ path, value }) =>
      namesAt(names, path.split('.')).map((name) => ({ name, path: name.path, value })),
    )
    const [first] = known
    // What has been set there since is another value.
    if (first === undefined || names.has(key) || ownValue(variables, key) !== given) continue
    const reader = (_path: string, _value: unknown, alias: Alias | undefined): void => {
      for (const { name, path, value } of known) name.reader(path, value, alias)
    }
    all.set(key, { path: first.path, reader, below: new Map() })
  }
  return all
}

/** The names of what was read, or of parts of it: which of them were read is not known. */
function namesAt(names: Names, [first = '', ...rest]: readonly string[]): NameWithPath[] {
  const found = names.get(first)
  if (found === undefined) return []
  if (hasPath(found)) return [found]
  return rest.length > 0 ? namesAt(found.below, rest) : withPaths(found.below)
}

type NameWithPath = Name & { readonly path: string }

function hasPath(name: Name): name is NameWithPath {
  return name.path !== undefined
}

function withPaths(names: Names): NameWithPath[] {
  return [...names.values()].flatMap((one) => (hasPath(one) ? [one] : withPaths(one.below)))
}
