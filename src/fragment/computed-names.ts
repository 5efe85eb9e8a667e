import {
  isObject,
  LOCALS,
  WholeNames,
  type Alias,
  type Name,
  type Names,
} from './personal-names.js'
import { ownValue } from './properties.js'

/** One read of what differs per visitor. */
interface Read {
  readonly name: Name
  readonly path: string
  readonly value: unknown
}

/** What variables were copied from whose getters ran for the copy, by the copy. */
const origins = new WeakMap<object, object>()

/** Notes that an engine has copied variables before it renders, and with them what their getters gave. */
export function noteCopyOf(copy: unknown, variables: unknown): void {
  if (!isObject(copy) || !isObject(variables) || copy === variables) return
  if (hasGetters(variables)) origins.set(copy, variables)
}

/**
 * The names in variables, with those whose values a getter gave that read the visitor's.
 *
 * @remarks Express copies `res.locals` for each render, Nunjucks all variables, and either runs the getters for it. What
 *   they read is found out by running them once more, on a stand-in; what they give then is left.
 *
 * @param names - What differs per visitor in the variables.
 * @param standInFor - Variables whose reads are noted by names.
 */
export function withComputed(
  names: Names,
  variables: object,
  standInFor: (variables: object, names: Names) => object,
): Names {
  if (names instanceof WholeNames) return names
  const sources = [origins.get(variables), ownValue(variables, LOCALS)].filter(isObject)
  if (!sources.some(hasGetters)) return names
  const all = new Map(names)
  for (const from of sources) {
    for (const key of gettersOf(from)) {
      // What is still computed is seen where it is read.
      if (all.has(key) || ownValue(variables, key) === undefined) continue
      const reads = readsOf(names, from, key, standInFor)
      if (reads.length > 0) all.set(key, nameOf(reads))
    }
  }
  return all
}

function hasGetters(variables: object): boolean {
  return gettersOf(variables).length > 0
}

function gettersOf(variables: object): string[] {
  return Object.keys(variables).filter(
    (key) => Reflect.getOwnPropertyDescriptor(variables, key)?.get !== undefined,
  )
}

function readsOf(
  names: Names,
  from: object,
  key: string,
  standInFor: (variables: object, names: Names) => object,
): readonly Read[] {
  const reads: Read[] = []
  const standIn = standInFor(
    from,
    listening(names, (read) => reads.push(read)),
  )
  try {
    Reflect.get(from, key, standIn)
  } catch {
    // It gave something when it was copied; what it has read until now counts.
  }
  return reads
}

function listening(names: Names, onRead: (read: Read) => void): Names {
  return new Map(
    Array.from(names, ([key, name]) => {
      const reader = (path: string, value: unknown): void => onRead({ name, path, value })
      return [key, { ...name, reader, below: listening(name.below, onRead) }]
    }),
  )
}

/** The name of a value that was made of the visitor's: a read of it is one of all that. */
function nameOf(reads: readonly Read[]): Name {
  const reader = (_path: string, _value: unknown, alias: Alias | undefined): void => {
    for (const { name, path, value } of reads) name.reader(path, value, alias)
  }
  return { path: (reads[0] as Read).path, reader, below: new Map() }
}
