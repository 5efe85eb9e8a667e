import { isObject, WholeNames, type Alias, type Name, type Names } from './personal-names.js'
import { hasOwnGetter, ownValue } from './properties.js'

/** What a getter read of the visitor. */
export interface Read {
  /** As in the options, such as `session.cart`. */
  readonly path: string
  readonly value: unknown
}

/** What getters read whose results are in variables, by the names of the variables. */
type Computed = ReadonlyMap<string, readonly Read[]>

const computedIn = new WeakMap<object, Computed>()

/** What is read now, while a getter runs for a copy. */
let reads: Read[] | undefined

/** Notes a read for the copy that is made now. @returns Whether there is one. */
export function noteForCopy(path: string, value: unknown): boolean {
  reads?.push({ path, value })
  return reads !== undefined
}

/**
 * A copy of variables with what their getters give, for an engine that copies them before it renders: a read of what a
 * getter gave counts as one of what the getter has read. The variables themselves are read as that engine reads them.
 *
 * @param seenOf - Returns the variables with their reads watched.
 * @param plainOf - Returns what a watched object is seen instead of.
 */
export function takeGetters(
  variables: object,
  seenOf: () => object,
  plainOf: (value: unknown) => unknown,
): object {
  // Without a prototype, which a variable named __proto__ would replace.
  const taken = Object.create(null) as Record<string, unknown>
  let computed: Map<string, readonly Read[]> | undefined
  for (const name of Object.keys(variables)) {
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
    if (own.length > 0) (computed ??= new Map()).set(name, own)
  }
  if (computed !== undefined) computedIn.set(taken, computed)
  return taken
}

/** Notes that an engine has copied what {@link takeGetters} gave. */
export function noteCopyOf(copy: unknown, taken: unknown): void {
  if (!isObject(copy) || !isObject(taken)) return
  const computed = computedIn.get(taken)
  if (computed !== undefined) computedIn.set(copy, computed)
}

/** The names in variables, with those whose values getters made of the visitor's. */
export function withComputed(names: Names, variables: object): Names {
  const computed = computedIn.get(variables)
  if (computed === undefined || names instanceof WholeNames) return names
  const all = new Map(names)
  for (const [key, read] of computed) {
    const known = read.flatMap(({ path, value }) => {
      const name = nameAt(names, path)
      return name === undefined ? [] : [{ name, path, value }]
    })
    const [first] = known
    // What a template has set there since is its own.
    if (first === undefined || names.has(key) || ownValue(variables, key) === undefined) continue
    const reader = (_path: string, _value: unknown, alias: Alias | undefined): void => {
      for (const { name, path, value } of known) name.reader(path, value, alias)
    }
    all.set(key, { path: first.path, reader, below: new Map() })
  }
  return all
}

function nameAt(names: Names, path: string): Name | undefined {
  let at: Name | undefined
  let within: Names | undefined = names
  for (const part of path.split('.')) {
    at = within?.get(part)
    within = at?.below
  }
  return at?.path === path ? at : undefined
}
