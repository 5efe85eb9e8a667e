import { show } from '../errors.js'
import { currentFrame, runSyncIn } from '../making/frame.js'
import { noteFound, noteUndeclared } from './guard.js'
import {
  isOfFragment,
  templateFramesAround,
  type FragmentFrame,
  type TemplateFrame,
} from './template-frame.js'
import { warnOfFragment } from './warnings.js'

/** A name of what templates are given, or of a part of it. */
interface Name {
  /** As it was given: `session.user`. Left out: only what is below it differs per visitor. */
  readonly path?: string | undefined
  readonly reader: Reader
  readonly below: ReadonlyMap<string, Name>
}

type Names = ReadonlyMap<string, Name>

type Variables = Readonly<Record<string, unknown>>

/** Told that a cached body reads what differs per visitor. */
type Reader = (path: string, value: unknown) => void

/** Variables, by what stands in for them while a body runs. */
const originals = new WeakMap<object, { readonly plain: object; readonly of: PersonalNames }>()

/** The names that an included template was given values of its own for, by all that it was given. */
const copies = new WeakMap<object, readonly string[]>()

/** A value that was taken into a copy, of which it is not known yet who reads it. */
interface Copied {
  readonly key: string
  readonly name: Name
  readonly value: unknown
}

/** What was copied while a body runs, by its frame. */
const copied = new WeakMap<TemplateFrame, Copied[]>()

/** The names among its vary-on values that are not of the template's own variables, by the frame of a body. */
const namesOfGiven = new WeakMap<TemplateFrame, readonly string[]>()

/**
 * Says which variables of what its template was given the vary-on values of the body that runs now name. Where it is
 * not said, all names among them count.
 */
export function noteNamesOfGiven(names: readonly string[]): void {
  const [frame] = templateFramesAround(currentFrame())
  if (frame !== undefined) namesOfGiven.set(frame, names)
}

/**
 * What differs per visitor in what templates are given, by its names.
 *
 * While the body of a cached fragment runs, its template sees a stand-in for its variables that notes which of
 * them are read. Nothing is watched where a fragment is found.
 */
export class PersonalNames {
  readonly #names: Names
  readonly #standIns = new WeakMap<object, object>()
  readonly #joined = new WeakMap<PersonalNames, PersonalNames>()

  constructor(names: Names) {
    this.#names = names
  }

  /** Variables whose reads are noted; what cannot be watched comes back as it is. */
  watch<T>(variables: T): T {
    if (typeof variables !== 'object' || variables === null) return variables
    const known = originals.get(variables)
    if (known !== undefined) {
      // What is watched for a page may be watched for a fragment too.
      return known.of === this ? variables : (this.#joinedWith(known.of).watch(known.plain) as T)
    }
    const own = copies.get(variables)
    const names = own === undefined ? this : this.#without(own)
    return names.#standInFor(variables, names.#names) as T
  }

  /**
   * What an included template is given: variables with others, watched if they are. That they were copied does
   * not count as a read, also by who made the others of them; and what the others have in the place of a visitor's
   * is no visitor's.
   */
  merge(variables: object, others: Variables): object {
    const plain = plainOf(variables) as Variables
    const copy = { ...plain, ...plainOf(others) }
    this.#forgetCopied(others)
    const own = [...this.#names.keys()].filter((name) => copy[name] !== plain[name])
    copies.set(copy, [...(copies.get(plain) ?? []), ...own])
    return plain === variables ? copy : this.watch(copy)
  }

  #noteCopied(names: Names, key: string | symbol, value: unknown): unknown {
    const name = typeof key === 'string' ? names.get(key) : undefined
    const [frame] = templateFramesAround(currentFrame())
    if (name === undefined || frame === undefined) return value
    const all = copied.get(frame) ?? []
    all.push({ key: key as string, name, value })
    copied.set(frame, all)
    return value
  }

  /** What was copied into these is watched again in what is given them. */
  #forgetCopied(others: Variables): void {
    for (const frame of templateFramesAround(currentFrame())) {
      const left = copied
        .get(frame)
        ?.filter(({ key, name, value }) => this.#names.get(key) !== name || others[key] !== value)
      if (left !== undefined) copied.set(frame, left)
    }
  }

  #without(own: readonly string[]): PersonalNames {
    if (own.length === 0) return this
    return new PersonalNames(new Map([...this.#names].filter(([name]) => !own.includes(name))))
  }

  #joinedWith(other: PersonalNames): PersonalNames {
    let joined = this.#joined.get(other)
    if (joined === undefined) {
      joined = new PersonalNames(join(other.#names, this.#names))
      this.#joined.set(other, joined)
      // Watched again for either of them, it stays what it is.
      joined.#joined.set(this, joined)
      joined.#joined.set(other, joined)
      this.#joined.set(joined, joined)
      other.#joined.set(joined, joined)
    }
    return joined
  }

  #standInFor(target: object, names: Names): object {
    const known = this.#standIns.get(target)
    if (known !== undefined) return known
    // An object with a class may have private fields, which only it can read.
    const isPlain = hasNoClass(target)
    const methods = new Methods(target, () => readAll(names, target))
    let copying: Copying | undefined
    const standIn = new Proxy(target, {
      ownKeys: () => {
        copying = new Copying(Reflect.ownKeys(target))
        return copying.keys
      },
      // Asked for by a loop over the names, and not for a copy.
      getPrototypeOf: () => {
        copying = undefined
        return Reflect.getPrototypeOf(target)
      },
      getOwnPropertyDescriptor: (_target, key) => {
        const found = Reflect.getOwnPropertyDescriptor(target, key)
        if (copying?.describes(key, found?.enumerable === true) === false) copying = undefined
        return found
      },
      get: (_target, key, receiver) => {
        if (copying?.takes(key) === true) {
          return this.#noteCopied(names, key, Reflect.get(target, key, target))
        }
        copying = undefined
        const value: unknown = Reflect.get(target, key, isPlain ? receiver : target)
        const name = typeof key === 'string' ? names.get(key) : undefined
        if (name !== undefined) return this.#read(name, value, target, key)
        if (isPlain) return value
        if (typeof value === 'function') return methods.get(key, value)
        // It runs on the object itself, where nothing sees what it reads.
        if (isComputed(target, key)) readAll(names, target)
        return value
      },
      has: (_target, key) => {
        const isThere = Reflect.has(target, key)
        const name = typeof key === 'string' ? names.get(key) : undefined
        if (name?.path !== undefined) name.reader(name.path, isThere)
        return isThere
      },
    })
    this.#standIns.set(target, standIn)
    originals.set(standIn, { plain: target, of: this })
    return standIn
  }

  #read(name: Name, value: unknown, target: object, key: string | symbol): unknown {
    const { path, reader, below } = name
    if (path !== undefined) {
      reader(path, value)
      return value
    }
    if (typeof value !== 'object' || value === null) return value
    // What cannot be changed has to be given as it is.
    if (Reflect.getOwnPropertyDescriptor(target, key)?.configurable === false) {
      for (const inside of below.values()) this.#read(inside, value, target, key)
      return value
    }
    return this.#standInFor(value, below)
  }
}

/**
 * A copy that is being made, as by `{ ...variables }`, of which it is not known yet what becomes: all keys are asked for, and then of
 * each, in their order, the descriptor and the value.
 *
 * @see ECMA-262, CopyDataProperties
 */
class Copying {
  #at = 0
  #isDescribed = false

  constructor(readonly keys: (string | symbol)[]) {}

  /** @returns `false`: this is something else. */
  describes(key: string | symbol, isEnumerable: boolean): boolean {
    if (this.#isDescribed || this.keys[this.#at] !== key) return false
    if (isEnumerable) this.#isDescribed = true
    else this.#at++
    return true
  }

  /** Whether a value is read for the copy. */
  takes(key: string | symbol): boolean {
    if (!this.#isDescribed || this.keys[this.#at] !== key) return false
    this.#at++
    this.#isDescribed = false
    return true
  }
}

/**
 * What was copied and is not watched in what it was copied into counts as read: called once a body has ended.
 *
 * @throws CacheTagError: the fragment does not vary on it, and its rules are strict.
 */
export function readCopied(frame: TemplateFrame): void {
  const left = copied.get(frame)
  if (left === undefined) return
  copied.delete(frame)
  runSyncIn(frame, () => {
    for (const { name, value } of left) readWhole(name, value)
  })
}

/** Notes everything that differs per visitor in an object as read. */
function readAll(names: Names, target: object): void {
  for (const [key, name] of names) readWhole(name, Reflect.get(target, key, target))
}

function readWhole({ path, reader, below }: Name, value: unknown): void {
  if (path !== undefined) reader(path, value)
  else if (typeof value === 'object' && value !== null) readAll(below, value)
}

/** The methods of an object with a class, which run on it itself: what they read is not seen, and counts as all. */
class Methods {
  readonly #known = new WeakMap<object, object>()

  /** @param called - Called before each of them runs. */
  constructor(
    private readonly target: object,
    private readonly called: () => void,
  ) {}

  get(key: string | symbol, method: object): unknown {
    if (key === 'constructor') return method
    let known = this.#known.get(method)
    if (known === undefined) {
      const { target, called } = this
      known = new Proxy(method as CallableFunction, {
        apply: (_method, self, args) => {
          if (plainOf(self) !== target) return Reflect.apply(_method, self, args) as unknown
          called()
          return Reflect.apply(_method, target, args) as unknown
        },
      })
      this.#known.set(method, known)
    }
    return known
  }
}

/** Whether a property is what a getter gives. */
function isComputed(target: object, key: string | symbol): boolean {
  for (
    let at: object | null = target;
    at !== null;
    at = Object.getPrototypeOf(at) as object | null
  ) {
    const found = Reflect.getOwnPropertyDescriptor(at, key)
    if (found !== undefined) return found.get !== undefined
  }
  return false
}

/** The variables that a stand-in stands for; any others as they are. */
export function plainOf<T>(variables: T): T {
  if (typeof variables !== 'object' || variables === null) return variables
  return (originals.get(variables)?.plain as T | undefined) ?? variables
}

/** Variables with others, as {@link PersonalNames.merge} gives them; `undefined`: they are not watched. */
export function mergeWatched(variables: object | undefined, others: Variables): object | undefined {
  return variables && originals.get(variables)?.of.merge(variables, others)
}

/** A copy of variables, watched if they are. */
export function copyOf<T extends object>(variables: T): T {
  const known = originals.get(variables)
  return known === undefined ? { ...variables } : known.of.watch({ ...(known.plain as T) })
}

/** Whether these are variables that {@link PersonalNames.merge} made. */
export function isMerged(variables: unknown): boolean {
  return ownNamesIn(variables) !== undefined
}

/** The names that {@link PersonalNames.merge} gave other values; `undefined`: it did not make these. */
export function ownNamesIn(variables: unknown): readonly string[] | undefined {
  if (typeof variables !== 'object' || variables === null) return undefined
  return copies.get(plainOf(variables))
}

function hasNoClass(value: object): boolean {
  const prototype = Object.getPrototypeOf(value) as object | null
  return prototype === null || prototype === Object.prototype
}

/** What is watched while developing unless an application says what differs per visitor in it. */
const USUAL = [
  'user',
  'currentUser',
  'session',
  'csrfToken',
  '_csrf',
  'flash',
  'visitor',
  'account',
  'cart',
]

/**
 * What an engine's templates are watched for.
 *
 * @param personal - The option; it was checked.
 * @returns `undefined`: nothing.
 */
export function personalNames(personal: readonly string[] | undefined): PersonalNames | undefined {
  if (personal === undefined) {
    const isWatched = process.env['NODE_ENV'] !== 'production'
    return isWatched ? new PersonalNames(toNames(USUAL, warnOfRead)) : undefined
  }
  return personal.length === 0 ? undefined : new PersonalNames(toNames(personal, noteRead))
}

/** What the templates of a site's pages are watched for. */
export function personalNamesOfPages(
  personal: readonly string[] | undefined,
): PersonalNames | undefined {
  if (personal === undefined || personal.length === 0) return undefined
  watchesPages = true
  return personalNames(personal)
}

let watchesPages = false

/** Whether any site watches its pages. */
export function arePagesWatched(): boolean {
  return watchesPages
}

/** Variables as a template of a page is to see them, which is not a part of a fragment. */
export function watchInPage<T>(variables: T): T {
  if (!watchesPages) return variables
  for (const { watcher } of templateFramesAround(currentFrame())) {
    if (watcher !== undefined) return watcher.watch(variables)
  }
  return variables
}

function toNames(paths: readonly string[], reader: Reader): Names {
  return paths.reduce<Names>((names, path) => {
    const [first = '', ...rest] = path.split('.').reverse()
    let one = new Map<string, Name>([[first, { path, reader, below: new Map() }]])
    for (const part of rest) one = new Map([[part, { reader, below: one }]])
    return join(names, one)
  }, new Map())
}

/** The names of both; of one that both have, the first tells what it is called and who is told. */
function join(names: Names, others: Names): Names {
  const joined = new Map(names)
  for (const [name, other] of others) {
    const known = names.get(name)
    const both = known && {
      ...(known.path === undefined ? other : known),
      below: join(known.below, other.below),
    }
    joined.set(name, both ?? other)
  }
  return joined
}

function noteRead(path: string, value: unknown): void {
  noteUndeclared(path, (frame) => declares(frame, path))
  if (isThere(value)) noteFound(path)
}

/** An empty value, such as no user, tells nothing. */
function isThere(value: unknown): boolean {
  return Array.isArray(value) ? value.length > 0 : Boolean(value)
}

/** Whether a tag's vary-on names what is read, a part of it, or what it is a part of. */
function declares(frame: FragmentFrame, path: string): boolean {
  const { declared, site } = frame.fragment
  if (declared?.has(path) === true) return true
  const names = namesOfGiven.get(frame) ?? site.varyOnNames ?? []
  return names.some(
    (name) => name === path || name.startsWith(`${path}.`) || path.startsWith(`${name}.`),
  )
}

function warnOfRead(path: string, value: unknown): void {
  if (!isThere(value)) return
  for (let at = currentFrame(); at !== undefined; at = at.parent) {
    if (!isOfFragment(at) || declares(at, path)) continue
    warnOfFragment(
      { type: 'FragmentPersonalWarning', code: 'FRAGCACHE_PERSONAL_READ' },
      at.fragment.site,
      path,
      `its body reads ${show(path)}, which its vary-on values do not name, so that what one user sees may reach others; add it to them, move that part into nocache, or say with the option personal what differs per visitor (personal: [] for nothing)`,
    )
    return
  }
}
