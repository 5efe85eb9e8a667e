import { currentFrame } from '../making/frame.js'
import { Copy, Given, joined, type Variables } from './given.js'
import { aliased, joinNames, readAll, type Alias, type Name, type Names } from './personal-names.js'
import { templateFramesAround, type TemplateFrame } from './template-frame.js'
import { Copying, forgetCopied, noteCopied } from './watched-copies.js'

/** What a stand-in stands for. */
interface Original {
  readonly plain: object
  readonly of: PersonalNames
  readonly names: Names
  /** It is a value among variables, and not the variables of a template. */
  readonly isPart: boolean
}

const originals = new WeakMap<object, Original>()

/** Nothing is being made. */
const NOTHING: ReadonlySet<TemplateFrame> = new Set()

/** A name among vary-on values. */
export interface VaryOnName {
  /** Such as `user.id`. */
  readonly name: string
  /** Left out: it is of what the page was given. */
  readonly alias?: Alias | undefined
}

/**
 * What a name among vary-on values is of.
 *
 * @param holder - Where it is read from.
 * @param page - What the page was given.
 * @returns `undefined`: nothing that was given to the page, or to a template by another one.
 */
export function varyOnNameIn(holder: unknown, name: string, page: unknown): VaryOnName | undefined {
  const plain = plainOf(holder)
  if (plain === plainOf(page)) return { name }
  const given = givenOf(plain)
  if (given === undefined) return undefined
  const [first = ''] = name.split('.')
  const alias = given.own.get(first)
  return alias === undefined && given.isApart ? undefined : { name, alias }
}

function givenOf(variables: unknown): Given | undefined {
  if (typeof variables !== 'object' || variables === null) return undefined
  return Copy.givenOf(plainOf(variables))
}

/**
 * What differs per visitor in what templates are given, by its names.
 *
 * While the body of a cached fragment runs, its template sees a stand-in for its variables that notes which of
 * them are read. Nothing is watched where a fragment is found.
 */
export class PersonalNames {
  readonly #names: Names
  /** By what is watched in them. */
  readonly #standIns = new WeakMap<Names, WeakMap<object, object>>()
  readonly #joined = new WeakMap<PersonalNames, PersonalNames>()
  readonly #ofGiven = new WeakMap<Given, Names>()

  constructor(names: Names) {
    this.#names = names
  }

  /** Variables whose reads are noted; what cannot be watched comes back as it is. */
  watch<T>(variables: T): T {
    if (typeof variables !== 'object' || variables === null) return variables
    const known = originals.get(variables)
    if (known === undefined) {
      return this.#standInFor(variables, this.#namesIn(variables), false) as T
    }
    if (known.of === this || known.isPart) return variables
    // What is watched for a page may be watched for a fragment too.
    return this.#joinedWith(known.of).watch(known.plain) as T
  }

  /**
   * What an included template is given: variables with others, watched if they are. That they were copied does
   * not count as a read, also by who made the others of them. Of the others what is the visitor's is watched too;
   * it is known by itself, and a fragment that varies on it there does not vary on the visitor elsewhere.
   *
   * @param page - What the page was given, where that may be something else.
   */
  merge(variables: object, others: Variables, page: object = variables): object {
    const known = originals.get(variables)
    const plain = (known?.plain ?? variables) as Variables
    const outer = Copy.givenOf(plain)
    const names = known?.names ?? this.#namesIn(plain)
    const isPart = known?.isPart === true
    const isSame = plainOf(others) === plain
    const frame = currentFrame()
    const frames = frame === undefined ? [] : [...templateFramesAround(frame)]
    // While something is made these may be a stand-in, which is copied as a template would.
    const own: Variables = isSame ? {} : frames.length === 0 ? others : { ...others }
    const same = forgetCopied(names, own, frames)
    const copy = joined(plain, own, () => this.#standInFor(plain, names, isPart))
    const how = outer ?? {
      page: plainOf(isPart ? plain : page) as Variables,
      names: isPart ? names : undefined,
      isApart: !isPart && plainOf(page) !== plain,
    }
    const all = Object.keys(own)
    const keys = same.size === 0 ? all : all.filter((key) => !same.has(key))
    new Copy(copy, new Given(how, keys, frames.length === 0 ? NOTHING : new Set(frames), outer))
    return plain === variables ? copy : this.watch(copy)
  }

  /** What differs per visitor in variables. */
  #namesIn(variables: object): Names {
    const given = Copy.givenOf(variables)
    if (given === undefined) return this.#names
    let names = this.#ofGiven.get(given)
    if (names === undefined) {
      names = this.#namesOf(given, variables as Variables)
      this.#ofGiven.set(given, names)
    }
    return names
  }

  #namesOf({ page, own, isApart, names = this.#names }: Given, variables: Variables): Names {
    const found = new Map<string, Name>()
    for (const [key, name] of names) {
      const alias = own.get(key)
      if (alias === undefined) {
        if (!isApart) found.set(key, name)
      } else if (page[key] === variables[key]) found.set(key, aliased(name, alias))
    }
    return found
  }

  #joinedWith(other: PersonalNames): PersonalNames {
    let joined = this.#joined.get(other)
    if (joined === undefined) {
      joined = new PersonalNames(joinNames(other.#names, this.#names))
      this.#joined.set(other, joined)
      // Watched again for either of them, it stays what it is.
      joined.#joined.set(this, joined)
      joined.#joined.set(other, joined)
      this.#joined.set(joined, joined)
      other.#joined.set(joined, joined)
    }
    return joined
  }

  #standInFor(target: object, names: Names, isPart: boolean): object {
    let known = this.#standIns.get(names)
    if (known === undefined) this.#standIns.set(names, (known = new WeakMap()))
    let standIn = known.get(target)
    if (standIn === undefined) {
      standIn = new Proxy(target, this.#handlerOf(target, names))
      known.set(target, standIn)
      originals.set(standIn, { plain: target, of: this, names, isPart })
    }
    return standIn
  }

  #handlerOf(target: object, names: Names): ProxyHandler<object> {
    // An object with a class may have private fields, which only it can read.
    const isPlain = hasNoClass(target)
    const methods = new Methods(target, () => readAll(names, target))
    const nameOf = (key: string | symbol) => (typeof key === 'string' ? names.get(key) : undefined)
    let copying: Copying | undefined
    /** Those whose names were listed: each is then asked for whether it is enumerable. */
    let listed = new Set<string | symbol>()
    return {
      ownKeys: () => {
        copying = new Copying(Reflect.ownKeys(target))
        listed = new Set(copying.keys)
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
        const name = nameOf(key)
        const isListed = listed.delete(key)
        if (name === undefined) return found
        if (!isListed && name.path !== undefined) {
          name.reader(name.path, found?.get === undefined ? found?.value : true, name.alias)
          return found
        }
        if (found?.configurable !== true) return found
        // Code that takes the value from here reads it.
        const { enumerable = false } = found
        const get = () => this.#read(name, Reflect.get(target, key, target), target, key)
        return { configurable: true, enumerable, get }
      },
      get: (_target, key, receiver) => {
        if (copying?.takes(key) === true) {
          const name = nameOf(key)
          if (name !== undefined || !isComputed(target, key)) {
            const value: unknown = Reflect.get(target, key, target)
            noteCopied(name, key, value, target)
            return value
          }
          // Of what is computed the copy has the result alone: what is read for it is read now.
          const during = copying
          const value: unknown = Reflect.get(target, key, isPlain ? receiver : target)
          if (!isPlain) readAll(names, target)
          copying = during
          return value
        }
        copying = undefined
        const value: unknown = Reflect.get(target, key, isPlain ? receiver : target)
        const name = nameOf(key)
        if (name !== undefined) return this.#read(name, value, target, key)
        if (isPlain) return value
        if (typeof value === 'function') return methods.get(key, value)
        // It runs on the object itself, where nothing sees what it reads.
        if (isComputed(target, key)) readAll(names, target)
        return value
      },
      // What is set is not read, and the descriptor of what was there before is none to go by.
      set: (_target, key, value, receiver) => {
        copying = undefined
        const isOwn = originals.get(receiver as object)?.plain === target
        if (!isOwn || (isPlain && isAccessor(target, key))) {
          return Reflect.set(target, key, value, receiver)
        }
        return Reflect.set(target, key, value)
      },
      has: (_target, key) => {
        const isThere = Reflect.has(target, key)
        const name = nameOf(key)
        // A name that is not there is nobody's.
        if (name?.path !== undefined) name.reader(name.path, isThere || undefined, name.alias)
        return isThere
      },
    }
  }

  #read(name: Name, value: unknown, target: object, key: string | symbol): unknown {
    const { path, reader, below, alias } = name
    if (path !== undefined) {
      reader(path, value, alias)
      return value
    }
    if (typeof value === 'function') readAll(below, value)
    if (typeof value !== 'object' || value === null) return value
    // What cannot be changed has to be given as it is.
    if (Reflect.getOwnPropertyDescriptor(target, key)?.configurable === false) {
      for (const inside of below.values()) this.#read(inside, value, target, key)
      return value
    }
    return this.#standInFor(value, below, true)
  }
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
  return descriptorOf(target, key)?.get !== undefined
}

/** Whether a property has a getter or a setter. */
function isAccessor(target: object, key: string | symbol): boolean {
  const found = descriptorOf(target, key)
  return found !== undefined && !('value' in found)
}

function descriptorOf(target: object, key: string | symbol): PropertyDescriptor | undefined {
  for (
    let at: object | null = target;
    at !== null;
    at = Object.getPrototypeOf(at) as object | null
  ) {
    const found = Reflect.getOwnPropertyDescriptor(at, key)
    if (found !== undefined) return found
  }
  return undefined
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
  return givenOf(variables) !== undefined
}

function hasNoClass(value: object): boolean {
  const prototype = Object.getPrototypeOf(value) as object | null
  return prototype === null || prototype === Object.prototype
}
