import { show } from '../errors.js'
import { currentFrame } from '../making/frame.js'
import { privateField } from '../private-field.js'
import { noteCopyOf, noteForCopy, takeGetters } from './computed-names.js'
import { noteFound, noteUndeclared } from './guard.js'
import {
  isObject,
  isSameAlias,
  toNames,
  withoutLocals,
  type Alias,
  type Reader,
  type VaryOnName,
} from './personal-names.js'
import { hasNoClass } from './properties.js'
import {
  isOfFragment,
  templateFramesAround,
  type FragmentFrame,
  type TemplateFrame,
  type VariablesWatcher,
} from './template-frame.js'
import { PERSONAL_READ, warnOfFragment, warnOfPageRead } from './warnings.js'
import { isMerged, PersonalNames, plainOf } from './watched.js'

/** What the vary-on values name of what templates were given, by the frame of a body. */
const varyOnNames = privateField<TemplateFrame, readonly VaryOnName[]>()

/**
 * Says what the vary-on values of the body that runs now name of what templates were given. Where it is not said, all
 * names among them count.
 */
export function noteVaryOnNames(names: readonly VaryOnName[]): void {
  const [frame] = templateFramesAround(currentFrame())
  if (frame !== undefined) varyOnNames.set(frame, names)
}

/** The same for a body all of whose names are of its template's variables. */
export function noteVaryOnNamesIn(variables: unknown, personal: PersonalNames): void {
  const [frame] = templateFramesAround(currentFrame())
  if (frame?.fragment === undefined || varyOnNames.has(frame)) return
  const names = frame.fragment.site.varyOnNames ?? []
  const page = isMerged(variables) ? undefined : variables
  varyOnNames.set(
    frame,
    names.flatMap((name) => personal.varyOn(variables, name, page)),
  )
}

/** Adds to what they name. */
export function addVaryOnNames(names: readonly VaryOnName[]): void {
  const [frame] = templateFramesAround(currentFrame())
  if (frame === undefined || names.length === 0) return
  varyOnNames.set(frame, [...(varyOnNames.get(frame) ?? []), ...names])
}

/** What differs per visitor in what the templates of an engine are given. */
const personalOfEngines = new WeakMap<object, PersonalNames>()

/** The same for pages of sites that do not say what differs in theirs: it is only warned of. */
const shownOfEngines = new WeakMap<object, PersonalNames>()

/** @param personal - The engine's option. */
export function notePersonal(
  engine: object,
  names: PersonalNames | undefined,
  personal: readonly string[] = USUAL,
): void {
  if (names === undefined) return
  personalOfEngines.set(engine, names)
  if (isDeveloping()) shownOfEngines.set(engine, namesFor(personal, warnOfShown))
}

/** All that anything in this process is watched for, for getters that run before it is known for what. */
let anyNames: PersonalNames | undefined
const anyPaths = new Set<string>()

function namesFor(paths: readonly string[], reader: Reader): PersonalNames {
  if (paths.some((path) => !anyPaths.has(path))) {
    for (const path of paths) anyPaths.add(path)
    anyNames = new PersonalNames(toNames([...anyPaths], noteForCopy))
  }
  return new PersonalNames(toNames(paths, reader))
}

function isDeveloping(): boolean {
  return process.env['NODE_ENV'] !== 'production'
}

/** @returns `undefined`: nothing is watched. */
export function personalOf(engine: object): PersonalNames | undefined {
  return personalOfEngines.get(engine)
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
    return isDeveloping() ? namesFor(USUAL, warnOfRead) : undefined
  }
  return personal.length === 0 ? undefined : namesFor(personal, noteRead)
}

/**
 * What the templates of a site's pages are watched for.
 *
 * @param personal - The option; it was checked.
 * @returns `undefined`: while developing, what the fragments of their engine are watched for, which is only warned of.
 */
export function personalNamesOfPages(
  personal: readonly string[] | undefined,
): VariablesWatcher | undefined {
  if (personal?.length === 0) return NOTHING_WATCHED
  if (personal !== undefined || isDeveloping()) watchesPages = true
  return personal && personalNames(personal)
}

const NOTHING_WATCHED: VariablesWatcher = {
  watch: (variables) => variables,
  named: (_name, value) => value,
}

let watchesPages = false

/** Whether any site watches its pages. */
export function arePagesWatched(): boolean {
  return watchesPages
}

/**
 * Variables as a template is to see them that the application renders: a page's, or in a fragment from code.
 *
 * @param engine - Whose template it is.
 * @param original - What the variables were copied from, if they were.
 */
export function watchInPage<T>(
  variables: T,
  engine: object | undefined,
  original?: () => unknown,
): T {
  if (currentFrame() === undefined) return variables
  let seen = variables
  for (const watcher of watchersInPage(engine)) {
    if (original !== undefined) noteCopyOf(variables, original())
    seen = watcher.watch(seen)
  }
  return seen
}

/**
 * The same for values that an engine has beside the variables, by their names there.
 *
 * @returns `undefined`: they are not watched.
 */
export function watchNamedInPage(
  engine: object | undefined,
): ((name: string, value: unknown) => unknown) | undefined {
  if (currentFrame() === undefined) return undefined
  const watchers = [...watchersInPage(engine)]
  if (watchers.length === 0) return undefined
  return (name, value) => watchers.reduce((seen, watcher) => watcher.named(name, seen), value)
}

/** What watches the templates that an application renders now. */
function* watchersInPage(engine: object | undefined): Generator<VariablesWatcher> {
  let isInFragment = false
  for (const { fragment, framedPage } of templateFramesAround(currentFrame())) {
    if (fragment !== undefined && !isInFragment) {
      isInFragment = true
      // What the body of a tag renders by itself is given what it reads.
      const own = fragment.site.fromCode === true ? engine && personalOf(engine) : undefined
      if (own !== undefined) yield own
    }
    if (framedPage !== undefined) {
      const own = framedPage.watcher ?? (engine && shownOfEngines.get(engine))
      if (own !== undefined) yield own
      return
    }
  }
}

/**
 * Variables for code that copies them before a template sees them, with what their getters give: see
 * {@link takeGetters}.
 */
export function takeForCopy<T>(variables: T): T {
  // Getters of a class may read private fields, which only their object has.
  if (anyNames === undefined || !isObject(variables) || !hasNoClass(variables)) return variables
  const names = anyNames
  return takeGetters(variables, () => names.watch(variables), plainOf)
}

function noteRead(path: string, value: unknown, alias: Alias | undefined): void {
  if (noteForCopy(path, value)) return
  noteUndeclared(path, (frame) => declares(frame, path, alias))
  // Of a variable of the template itself it is not sure that it shows the visitor: lists of others have her too.
  if (isThere(value)) noteFound(path, alias?.isLocal !== true)
}

/** No value, such as no user, tells nothing; `0`, `false` and an empty list are values of a visitor. */
function isThere(value: unknown): boolean {
  return value !== undefined && value !== null && value !== ''
}

/** Whether a tag's vary-on names what is read, a part of it, or what it is a part of. */
function declares(frame: FragmentFrame, path: string, alias: Alias | undefined): boolean {
  const { declared, site } = frame.fragment
  if (declared?.has(path) === true) return true
  // It was taken in that body, from what is not the visitor's by its name.
  if (alias?.isLocal === true && alias.around.has(frame)) return true
  const names = varyOnNames.get(frame) ?? (site.varyOnNames ?? []).map((name) => ({ name }))
  return names.some((one) => isOf(one, path) && isFrom(one, frame, alias))
}

function isOf({ name: written }: VaryOnName, path: string): boolean {
  const name = withoutLocals(written)
  return name === path || name.startsWith(`${path}.`) || path.startsWith(`${name}.`)
}

/** Whether a vary-on value is of where something is read. */
function isFrom(name: VaryOnName, frame: FragmentFrame, alias: Alias | undefined): boolean {
  if (name.alias === undefined || isSameAlias(name.alias, alias)) return true
  // What was read here to be given to an included template was noted then.
  return alias?.around.has(frame) === true
}

/** Tells of what a page shows. */
function warnOfShown(path: string, value: unknown, alias: Alias | undefined): void {
  if (noteForCopy(path, value) || isEmpty(value) || alias?.isLocal === true) return
  for (const { framedPage } of templateFramesAround(currentFrame())) {
    if (framedPage?.isKept() === true) return warnOfPageRead(framedPage.route(), path)
  }
}

/** Whether a value is what everybody has who has none of their own, such as no user, an empty cart, a new session. */
function isEmpty(value: unknown, depth = 2): boolean {
  if (typeof value !== 'object' || value === null) return !value
  // What is found out by a getter is not asked for.
  const isNone = (key: string): boolean => {
    const found = Reflect.getOwnPropertyDescriptor(value, key)
    return found?.get === undefined && isEmpty(found?.value, depth - 1)
  }
  // express-session has one there for every visitor.
  return depth > 0 && Object.keys(value).every((key) => key === 'cookie' || isNone(key))
}

function warnOfRead(path: string, value: unknown, alias: Alias | undefined): void {
  if (noteForCopy(path, value) || !isThere(value)) return
  for (const at of templateFramesAround(currentFrame())) {
    if (!isOfFragment(at) || declares(at, path, alias)) continue
    warnOfFragment(
      { type: 'FragmentPersonalWarning', code: PERSONAL_READ },
      at.fragment.site,
      path,
      `its body reads ${show(path)}, which its vary-on values do not name, so that what one user sees may reach others; add it to them${at.fragment.site.fromCode === true ? ', and its name to inputs' : ''}, move that part into nocache, or say with the option personal what differs per visitor (personal: [] for nothing)`,
    )
    return
  }
}
