import type { Frame } from '../making/frame.js'
import { heldValue } from './properties.js'

/** Where names were given values by a template, some of which may be the visitor's. */
export interface Alias {
  /** What was being made there, from the inside out. */
  readonly around: ReadonlySet<Frame>
  /** The template's variable that holds one of them, known for the visitor's by being the same object. */
  readonly variable?: string | undefined
  /** That variable is the template's own. */
  readonly isLocal?: true
}

/** Where templates hold values that their cached bodies see. */
export interface HeldAt {
  /** What the page was given. */
  readonly given: readonly unknown[]
  /** What was being made already where the values were taken. */
  readonly around: ReadonlySet<Frame>
}

/** Whether what is read by one was named by the other. */
export function isSameAlias(one: Alias | undefined, other: Alias | undefined): boolean {
  return one === other || (one?.variable !== undefined && one.variable === other?.variable)
}

/** Told that a cached body reads what differs per visitor. @param alias - Where, if not in what its page was given. */
export type Reader = (path: string, value: unknown, alias: Alias | undefined) => void

/** A name of what templates are given, or of a part of it. */
export interface Name {
  /**
   * The path as in the options: `session.user`. Omitted: only what is below it differs per visitor.
   */
  readonly path?: string | undefined
  readonly reader: Reader
  readonly below: Names
  /** Left out: it is of what the page was given. */
  readonly alias?: Alias | undefined
}

export type Names = ReadonlyMap<string, Name>

/** The names in an object that is the visitor's as a whole: every one but those that are given beside it. */
export class WholeNames extends Map<string, Name> {
  constructor(
    readonly whole: Name & { readonly path: string },
    private readonly given?: ReadonlyMap<string, unknown>,
    own?: Names,
  ) {
    super(own)
  }

  override get(key: string): Name | undefined {
    return super.get(key) ?? (this.given?.has(key) === true ? undefined : this.whole)
  }
}

/** What differs per visitor in an object that a name is of. */
export function namesWithin(name: Name): Names {
  const { path } = name
  return path === undefined ? name.below : new WholeNames({ ...name, path })
}

/**
 * The name by which a template is given an object.
 *
 * @param given - Where the names are of.
 * @returns `undefined`: none that differs per visitor, or one whose value is computed.
 */
export function nameOfObject(names: Names, object: object, given: unknown): Name | undefined {
  if (!isObject(given)) return undefined
  for (const [key, name] of names) {
    const value = heldValue(given, key)
    const found = value === object ? name : nameOfObject(name.below, object, value)
    if (found !== undefined) return found
  }
  return undefined
}

export function isObject(value: unknown): value is object {
  return typeof value === 'function' || (typeof value === 'object' && value !== null)
}

/** Where Express gives a template `res.locals` once more. */
export const LOCALS = '_locals'

export function toNames(paths: readonly string[], reader: Reader): Names {
  const names = paths.reduce<Names>((known, path) => {
    const [first = '', ...rest] = path.split('.').reverse()
    let one = new Map<string, Name>([[first, { path, reader, below: new Map() }]])
    for (const part of rest) one = new Map([[part, { reader, below: one }]])
    return joinNames(known, one)
  }, new Map())
  return joinNames(names, new Map([[LOCALS, { reader, below: names }]]))
}

/** What a vary-on value names, wherever it is read. */
export function withoutLocals(name: string): string {
  return name.startsWith(`${LOCALS}.`) ? name.slice(LOCALS.length + 1) : name
}

/** The names of both. For a name that both have, the first decides how it is shown, and both hear about it. */
export function joinNames(names: Names, others: Names): Names {
  const joined = new Map(names)
  for (const [name, other] of others) {
    const known = names.get(name)
    const both = known && {
      ...(known.path === undefined ? other : known),
      reader: bothReaders(known, other),
      below: joinNames(known.below, other.below),
    }
    joined.set(name, both ?? other)
  }
  return joined
}

function bothReaders(one: Name, other: Name): Reader {
  if (one.path === undefined) return other.reader
  if (other.path === undefined || one.reader === other.reader) return one.reader
  return (...read) => {
    one.reader(...read)
    other.reader(...read)
  }
}

/** A name as it is where a template gave it a value that is the visitor's. */
export function aliased(name: Name, alias: Alias): Name {
  const below = Array.from(name.below, ([key, one]) => [key, aliased(one, alias)] as const)
  return { ...name, alias, below: new Map(below) }
}

/** A name among vary-on values. */
export interface VaryOnName {
  /** Such as `user.id`. */
  readonly name: string
  /** Left out: it is of what the page was given. */
  readonly alias?: Alias | undefined
}

/** What is read of an object with a name, by its paths as in the options. */
export function pathsOf(name: Name | undefined, rest: readonly string[]): VaryOnName[] {
  if (name === undefined) return []
  const { path, alias, below } = name
  if (path !== undefined) return [{ name: [path, ...rest].filter(Boolean).join('.'), alias }]
  const [first, ...more] = rest
  if (first !== undefined) return pathsOf(below.get(first), more)
  return Array.from(below.values()).flatMap((one) => pathsOf(one, []))
}

/** Notes everything that differs per visitor in an object as read. */
export function readAll(names: Names, target: object): void {
  if (names instanceof WholeNames) readWhole(names.whole, target)
  for (const [key, name] of names) readWhole(name, Reflect.get(target, key, target))
}

export function readWhole({ path, reader, below, alias }: Name, value: unknown): void {
  if (path !== undefined) reader(path, value, alias)
  else if (isObject(value)) readAll(below, value)
}
