import { currentFrame } from '../making/frame.js'
import { privateField } from '../private-field.js'
import { withComputed } from './computed-names.js'
import { Copy, Given, joined, type Variables } from './given.js'
import {
  aliased,
  isObject,
  joinNames,
  nameOfObject,
  namesWithin,
  pathsOf,
  readAll,
  readWhole,
  WholeNames,
  type HeldAt,
  type Name,
  type Names,
  type VaryOnName,
} from './personal-names.js'
import { hasNoClass, heldValue, isAccessor, isComputed, isFixed, Methods } from './properties.js'
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

const originals = privateField<object, Original>()

/** What a value stands for; `undefined`: it is no stand-in. */
function originalOf(value: unknown): Original | undefined {
  return isObject(value) ? originals.get(value) : undefined
}

/** The variable of what a template, or a block, is of. */
const THIS = '.'

/** Nothing is being made. */
const NOTHING: ReadonlySet<TemplateFrame> = new Set()

/**
 * What a name among vary-on values is of.
 *
 * @param holder - Where it is read from.
 * @param page - What the page was given.
 * @returns `undefined`: nothing that was given to the page, or to a template by another one.
 */
function varyOnNameIn(holder: unknown, name: string, page: unknown): VaryOnName | undefined {
  const plain = plainOf(holder)
  if (plain === plainOf(page)) return { name }
  const given = givenOf(plain)
  if (given === undefined) return undefined
  const [first = ''] = name.split('.')
  const alias = given.own.get(first)
  return alias === undefined && given.isApart ? undefined : { name, alias }
}

/** What the page was given whose variables these are, or were made of. */
function pageOf(variables: object): unknown {
  return Copy.givenOf(variables)?.page ?? variables
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
  /** Of an object, by what is watched in it. */
  readonly #standIns = privateField<object, WeakMap<Names, object>>()
  readonly #joined = new WeakMap<PersonalNames, PersonalNames>()
  readonly #ofGiven = privateField<Given, Names>()
  readonly #computed = privateField<object, Names>()

  constructor(names: Names) {
    this.#names = names
  }

  /**
   * What a name among vary-on values is of: of what templates were given, or of an object of the visitor's that
   * has another name.
   *
   * @param holder - Where it is read from.
   * @param page - What the page was given.
   */
  varyOn(holder: unknown, name: string, page: unknown): VaryOnName[] {
    if (!isObject(holder)) return []
    const plain = plainOf(holder)
    const names = originalOf(holder)?.names ?? this.#namesIn(plain)
    const [first = '', ...rest] = name.split('.')
    const own = names.get(first)
    if (names instanceof WholeNames && own === names.whole) return pathsOf(own, name.split('.'))
    if (originalOf(holder)?.isPart === true) return pathsOf(own, rest)
    const given = varyOnNameIn(holder, name, page)
    if (given === undefined) return []
    if (names.has(first)) return [given]
    return [
      given,
      ...pathsOf(this.#held(heldValue(plain, first), first, [pageOf(plain)], plain), rest),
    ]
  }

  /**
   * What a vary-on value names of an object that a variable of a template holds.
   *
   * @param rest - What is read of it.
   */
  varyOnHeld(value: unknown, variable: string, rest: readonly string[], at: HeldAt): VaryOnName[] {
    return pathsOf(this.#heldAt(value, variable, at), rest)
  }

  /**
   * What a body sees of a value that a variable of its template holds, which counts as read: the visitor's is known
   * by being the same object as in what the page was given.
   */
  take<T>(value: T, variable: string, at: HeldAt): T {
    const name = this.#heldAt(value, variable, at)
    return name === undefined ? this.seen(value, at.given) : (this.#read(name, value) as T)
  }

  /** The same for a value with all that is in it, where what the body sees of it cannot be another. */
  takeWhole(value: unknown, variable: string, at: HeldAt): void {
    const name = this.#heldAt(value, variable, at)
    if (name !== undefined) return readWhole(name, value)
    const known = originalOf(this.seen(value, at.given))
    if (known === undefined || originalOf(value) !== undefined) return
    for (const [key, one] of known.names) {
      if (key in known.plain) readWhole(one, Reflect.get(known.plain, key))
    }
  }

  /** The same, where it counts as read once something of it is. */
  standIn<T>(value: T, variable: string, at: HeldAt): T {
    const name = this.#heldAt(value, variable, at)
    if (name === undefined) return this.seen(value, at.given)
    return this.#standInFor(value as object, namesWithin(name), true) as T
  }

  #heldAt(value: unknown, variable: string, { given, around }: HeldAt): Name | undefined {
    const name = this.#held(value, variable, given)
    return name && aliased(name, { around, variable, isLocal: true })
  }

  /** What a body sees of a value that is read by a name as that of a template's variable, and is none. */
  named(name: string, value: unknown): unknown {
    const known = this.#names.get(name)
    return known === undefined ? value : this.#read(known, value)
  }

  /** Notes that code which is not a template's has made this of all that a page was given, and of other values. */
  noteSpread(variables: unknown, page: unknown): void {
    const given = plainOf(page)
    if (!isObject(variables) || !isObject(given) || variables === given) return
    if (originalOf(variables) !== undefined || isMerged(variables)) return
    const keys = Object.keys(given)
    if (keys.length === 0 || !keys.every((key) => key in variables)) return
    const others = Object.keys(variables).filter(
      (key) => heldValue(variables, key) !== heldValue(given, key),
    )
    const how = { page: given as Variables, names: undefined, isApart: false }
    new Copy(variables, new Given(how, others, NOTHING, undefined))
  }

  /** What a page was given, or an included template, as it is watched; anything else as it is. */
  seen<T>(value: T, pages: readonly unknown[], holder?: object, key?: string | symbol): T {
    if (!isObject(value) || isFixed(holder, key)) return value
    const plain = plainOf<unknown>(value)
    const isGiven = isMerged(value) || pages.some((page) => plainOf(page) === plain)
    return isGiven ? this.watch(value) : value
  }

  /**
   * The name of an object that a variable holds.
   *
   * @param variables - Those that it is one of; left out: none that a template was given.
   * @returns `undefined`: it is not the visitor's, or what is read of it is noted anyway.
   */
  #held(
    value: unknown,
    variable: string,
    pages: readonly unknown[],
    variables?: object,
  ): Name | undefined {
    if (!isObject(value) || originalOf(value) !== undefined) return undefined
    const given = variables && Copy.givenOf(variables)
    const own = given?.own.get(variable)
    if (given?.isApart === true && own === undefined) return undefined
    for (const page of pages) {
      const name = nameOfObject(this.#names, value, plainOf(page))
      if (name !== undefined) return aliased(name, own ?? { around: NOTHING, variable })
    }
    return undefined
  }

  /** Variables whose reads are noted; what cannot be watched comes back as it is. */
  watch<T>(variables: T): T {
    if (typeof variables !== 'object' || variables === null) return variables
    const known = originalOf(variables)
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
    const known = originalOf(variables)
    const plain = (known?.plain ?? variables) as Variables
    const outer = Copy.givenOf(plain)
    const isOfPage = known !== undefined || outer !== undefined || plainOf(page) === plain
    const held = isOfPage ? undefined : this.#held(plain, THIS, [page])
    const names = known?.names ?? (held === undefined ? this.#namesIn(plain) : namesWithin(held))
    const isPart = known?.isPart === true || held !== undefined
    const isSame = plainOf(others) === plain
    const frame = currentFrame()
    const frames = frame === undefined ? [] : [...templateFramesAround(frame)]
    // While something is made these may be a stand-in, which is copied as a template would.
    const own: Variables = isSame ? {} : frames.length === 0 ? others : { ...others }
    const nameOf = (key: string) => this.#nameIn(names, plain, key, own[key], isPart)
    const same = forgetCopied(nameOf, own, frames)
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
    const known = this.#computed.get(variables)
    if (known !== undefined) return known
    const given = this.#givenNamesIn(variables)
    const names = withComputed(given, variables)
    if (names !== given) this.#computed.set(variables, names)
    return names
  }

  #givenNamesIn(variables: object): Names {
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
    return names instanceof WholeNames ? new WholeNames(names.whole, own, found) : found
  }

  /** The name of a value among variables, or of a part of one. */
  #nameIn(
    names: Names,
    target: object,
    key: string | symbol,
    value: unknown,
    isPart: boolean,
  ): Name | undefined {
    if (typeof key === 'symbol') return undefined
    return names.get(key) ?? (isPart ? undefined : this.#held(value, key, [pageOf(target)], target))
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
    let known = this.#standIns.get(target)
    if (known === undefined) this.#standIns.set(target, (known = new WeakMap()))
    let standIn = known.get(names)
    if (standIn === undefined) {
      standIn = new Proxy(target, this.#handlerOf(target, names, isPart))
      known.set(names, standIn)
      originals.set(standIn, { plain: target, of: this, names, isPart })
    }
    return standIn
  }

  #handlerOf(target: object, names: Names, isPart: boolean): ProxyHandler<object> {
    // An object with a class may have private fields, which only it can read.
    const isPlain = hasNoClass(target)
    const methods = new Methods(
      target,
      (self) => plainOf(self) === target,
      () => readAll(names, target),
    )
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
          if (nameOf(key) !== undefined || !isComputed(target, key)) {
            const value: unknown = Reflect.get(target, key, target)
            noteCopied(this.#nameIn(names, target, key, value, isPart), key, value, target)
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
        const name = this.#nameIn(names, target, key, value, isPart)
        const isMethod = !isPlain && typeof value === 'function'
        if (isMethod && (name === undefined || names instanceof WholeNames)) {
          return methods.get(key, value)
        }
        if (name !== undefined) return this.#read(name, value, target, key)
        if (isPlain) return isPart ? value : this.seen(value, [pageOf(target)], target, key)
        // It runs on the object itself, where nothing sees what it reads.
        if (isComputed(target, key)) readAll(names, target)
        return value
      },
      // What is set is not read, and the descriptor of what was there before says nothing of it.
      set: (_target, key, value, receiver) => {
        copying = undefined
        const isOwn = originalOf(receiver)?.plain === target
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

  #read(name: Name, value: unknown, target?: object, key?: string | symbol): unknown {
    const { path, reader, below, alias } = name
    if (path !== undefined) {
      reader(path, value, alias)
      return value
    }
    if (typeof value === 'function') readAll(below, value)
    if (typeof value !== 'object' || value === null) return value
    if (isFixed(target, key)) {
      for (const inside of below.values()) this.#read(inside, value, target, key)
      return value
    }
    return this.#standInFor(value, below, true)
  }
}

/** What is being made around the body that begins now. */
export function framesAroundBody(): ReadonlySet<TemplateFrame> {
  const [, ...around] = templateFramesAround(currentFrame())
  return new Set(around)
}

/** The variables that a stand-in stands for; any others as they are. */
export function plainOf<T>(variables: T): T {
  return (originalOf(variables)?.plain as T | undefined) ?? variables
}

/** Variables with others, as {@link PersonalNames.merge} gives them; `undefined`: they are not watched. */
export function mergeWatched(variables: object | undefined, others: Variables): object | undefined {
  return variables && originalOf(variables)?.of.merge(variables, others)
}

/** A copy of variables, watched if they are. */
export function copyOf<T extends object>(variables: T): T {
  const known = originalOf(variables)
  return known === undefined ? { ...variables } : known.of.watch({ ...(known.plain as T) })
}

/** Whether these are variables that {@link PersonalNames.merge} made. */
export function isMerged(variables: unknown): boolean {
  return givenOf(variables) !== undefined
}
