import type { IncomingMessage } from 'node:http'
import { MisuseError, show } from '../../src/errors.js'
import { noteFound, noteRead } from '../../src/fragment/guard.js'
import { anything, checkEachOption } from './option-checks.js'

/** Options of {@link guard}. */
export interface GuardOptions {
  /**
   * Further per-user inputs of a request: names of its properties and methods, or names with the path of
   * each, such as `{ cart: 'session.cart', tenant: 'headers.x-tenant' }`.
   */
  readonly inputs?: readonly string[] | Readonly<Record<string, string>> | undefined
}

/** Which per-user inputs a property stands for, and which the properties below it stand for. */
interface Rule {
  /** The inputs that are read with it; what is below it counts as them too. */
  inputs: readonly string[]
  readonly below: Map<string, Rule>
  /** Whether it is per-user in every application. */
  isPerUser: boolean
}

const HEADERS = ['headers', 'headersDistinct']

/** Properties and methods of a request that differ per visitor, in Express and its usual middlewares. */
const USUAL: readonly (readonly [input: string, path: string])[] = [
  ['user', 'user'],
  ['user', 'isAuthenticated'],
  ['user', 'isUnauthenticated'],
  ['auth', 'auth'],
  ['session', 'session'],
  ['session', 'sessionID'],
  ['session', 'csrfToken'],
  ['session', 'flash'],
  ['cookies', 'cookies'],
  ['cookies', 'signedCookies'],
  ['cookies', 'headers.cookie'],
  ['authorization', 'headers.authorization'],
]

/** Objects that are there for every visitor: only what is in them is per-user. */
const THERE_FOR_ALL: ReadonlySet<string> = new Set(['session', 'cookies', 'signedCookies'])

/**
 * Wraps a request so that reads of per-user inputs, such as the user, are noted. If a cached body reads an
 * input that its vary-on values do not name, the fragment is refused or not stored.
 *
 * @param req - The request. It is not changed.
 * @returns A stand-in for the request and for the objects below it: after `const { user } = guard(req)` a
 *   read of `user.name` is noted. Later reads of texts and numbers that you took from it are not.
 * @throws TypeError: `req` is not a request, or an option is of the wrong kind.
 * @throws CacheTagError: from a read, if fragments are `strict`.
 * @remarks It notes reads of `user`, `auth`, `session`, `cookies` (also `signedCookies` and the header),
 *   `authorization`, and of the names in `inputs`. Outside cached bodies a read costs a function call. With
 *   the option `holes` of `responseCache`, a page is not stored either if one of the former is read outside
 *   its holes, for example while there is a user.
 * @example
 * app.use((req, res, next) => { res.locals.req = guard(req); next() })
 */
export function guard<R extends IncomingMessage>(req: R, options: GuardOptions = {}): R {
  const target = unwrap(req)
  const { headers } = (target ?? {}) as Partial<IncomingMessage>
  if (typeof headers !== 'object') {
    throw new MisuseError(`guard: ${show(req)} is not a request; give the one that the handler got`)
  }
  const extra = inputsOf(options)
  return wrap(target, extra.length === 0 ? usualRules : makeRules(extra))
}

function inputsOf(options: unknown): readonly (readonly [input: string, path: string])[] {
  checkEachOption('guard', options, { inputs: anything })
  const { inputs = [] } = options as { readonly inputs?: unknown }
  if (typeof inputs !== 'object' || inputs === null) {
    throw new MisuseError(
      `guard: inputs: ${show(inputs)} is neither a list such as ['tenant'] nor an object such as { cart: 'session.cart' }`,
    )
  }
  const isList = Array.isArray(inputs)
  return Object.entries(inputs as Record<string, unknown>).map(([key, path]) => {
    if (typeof path === 'string' && path.split('.').every((name) => name !== '')) {
      return [isList ? path : key, path] as const
    }
    const name = isList ? 'inputs' : `inputs: ${key}`
    throw new MisuseError(`guard: ${name}: ${show(path)} is not a path such as 'session.cart'`)
  })
}

const roots = new WeakSet<Rule>()
const usualRules = makeRules([])

/** @param extra - Beside the usual ones. */
function makeRules(extra: readonly (readonly [input: string, path: string])[]): Rule {
  const root = newRule()
  roots.add(root)
  // The request is in its response too, and its variables are mostly the same ones.
  root.below.set('res', {
    ...newRule(),
    below: new Map([
      ['req', root],
      ['locals', root],
    ]),
  })
  for (const [input, path] of USUAL) addPath(root, path, input, true)
  for (const [input, path] of extra) addPath(root, path, input, false)
  return root
}

function newRule(isPerUser = false): Rule {
  return { inputs: [], below: new Map(), isPerUser }
}

function addPath(root: Rule, path: string, input: string, isPerUser: boolean): void {
  const [first = '', ...rest] = path.split('.')
  if (!HEADERS.includes(first) || rest.length === 0) {
    add(root, [first, ...rest], input, isPerUser)
    return
  }
  const names = rest.join('.').toLowerCase()
  for (const headers of HEADERS) add(root, [headers, names], input, isPerUser)
  add(root, ['rawHeaders'], input, isPerUser)
}

function add(root: Rule, path: readonly string[], input: string, isPerUser: boolean): void {
  let rule = root
  for (const name of path) {
    let next = rule.below.get(name)
    // What is below a per-user property is per-user.
    if (next === undefined) rule.below.set(name, (next = newRule(rule.isPerUser)))
    rule = next
  }
  if (isPerUser) rule.isPerUser = true
  if (!rule.inputs.includes(input)) rule.inputs = [...rule.inputs, input]
}

const NOTHING = newRule()

/** The rule of a property; what is below an input counts as that input. */
function below(rule: Rule, key: string | symbol): Rule {
  const next = typeof key === 'string' ? rule.below.get(key) : undefined
  if (rule.inputs.length === 0) return next ?? NOTHING
  if (next === undefined) return rule.below.size === 0 ? rule : leafOf(rule)
  return next
}

const leaves = new WeakMap<Rule, Rule>()

function leafOf(rule: Rule): Rule {
  let leaf = leaves.get(rule)
  if (leaf === undefined) leaves.set(rule, (leaf = { ...rule, below: new Map() }))
  return leaf
}

function note({ inputs }: Rule): void {
  for (const input of inputs) noteRead(input)
}

/** Notes that a per-user value was found; one that is empty, such as no user, tells nothing. */
function noteValue({ isPerUser, inputs }: Rule, value: unknown): void {
  // For a method its result counts.
  if (!isPerUser || !value || typeof value === 'function') return
  if (Array.isArray(value) && value.length === 0) return
  noteFound(inputs[0] ?? '')
}

const targets = new WeakMap<object, object>()
const standIns = new WeakMap<Rule, WeakMap<object, object>>()

function unwrap<T>(value: T): T {
  if ((typeof value !== 'object' && typeof value !== 'function') || value === null) return value
  return (targets.get(value) as T | undefined) ?? value
}

/** A value whose reads are noted; one that needs none comes back as it is. */
function wrap<T>(value: T, rule: Rule): T {
  if (rule.inputs.length === 0 && rule.below.size === 0) return value
  if ((typeof value !== 'object' && typeof value !== 'function') || value === null) return value
  if (targets.has(value)) return value
  if (value instanceof Promise) return value.then((made: unknown) => wrap(made, rule)) as T
  let ofRule = standIns.get(rule)
  if (ofRule === undefined) standIns.set(rule, (ofRule = new WeakMap()))
  const known = ofRule.get(value)
  if (known !== undefined) return known as T
  const made =
    typeof value === 'function'
      ? standInForFunction(value as CallableFunction, rule)
      : standInFor(value, rule)
  ofRule.set(value, made)
  targets.set(made, value)
  return made as T
}

/** Methods run on what they belong to, which may have private fields. */
function standInForFunction(target: CallableFunction, rule: Rule): object {
  return new Proxy(target, {
    apply(_target, self, args: unknown[]) {
      note(rule)
      const value = Reflect.apply(target, unwrap(self), args.map(unwrap)) as unknown
      // Without a user the method gives `true`.
      noteValue(rule, target.name === 'isUnauthenticated' ? value !== true : value)
      return wrap(value, rule)
    },
  })
}

function standInFor(target: object, rule: Rule): object {
  const isRequest = roots.has(rule)
  // A proxy over a frozen object would have to give its properties unchanged; one over another object need not.
  const shadow: object = Array.isArray(target) ? [] : {}
  const read = (key: string | symbol): unknown => {
    const own = below(rule, key)
    note(own)
    if (isRequest && (key === 'get' || key === 'header')) return headerReader(target, key, rule)
    const value: unknown = Reflect.get(target, key, target)
    const isThereForAll = isRequest && typeof value === 'object' && THERE_FOR_ALL.has(String(key))
    if (!isThereForAll) noteValue(own, value)
    if (typeof value === 'function' && own === NOTHING) return bound(value)
    return wrap(value, own)
  }
  return new Proxy(shadow, {
    get: (_shadow, key) => read(key),
    has: (_shadow, key) => {
      const own = below(rule, key)
      note(own)
      const isThere = Reflect.has(target, key)
      noteValue(own, isThere)
      return isThere
    },
    ownKeys: () => {
      note(rule)
      const keys = Reflect.ownKeys(target)
      noteValue(rule, keys)
      return keys
    },
    getOwnPropertyDescriptor: (_shadow, key) => {
      note(below(rule, key))
      const found = Reflect.getOwnPropertyDescriptor(target, key)
      if (found === undefined) return undefined
      if (key === 'length' && Array.isArray(target)) return { ...found, writable: true }
      const { enumerable = false } = found
      return { value: read(key), writable: true, enumerable, configurable: true }
    },
    set: (_shadow, key, value) => Reflect.set(target, key, unwrap(value as unknown), target),
    deleteProperty: (_shadow, key) => Reflect.deleteProperty(target, key),
    defineProperty: (_shadow, key, descriptor) => Reflect.defineProperty(target, key, descriptor),
    getPrototypeOf: () => Reflect.getPrototypeOf(target),
    preventExtensions: () => false,
  })
}

const bounds = new WeakMap<CallableFunction, object>()

/** A method that is not per-user, so that it can be called on a stand-in. */
function bound(method: CallableFunction): unknown {
  let made = bounds.get(method)
  if (made === undefined) {
    made = new Proxy(method, {
      apply: (_method, self, args) => Reflect.apply(method, unwrap(self), args) as unknown,
    })
    bounds.set(method, made)
  }
  return made
}

/** @see Express, `req.get` */
function headerReader(target: object, method: 'get' | 'header', rule: Rule): unknown {
  const read = Reflect.get(target, method, target) as unknown
  if (typeof read !== 'function') return read
  const headers = rule.below.get('headers')
  return (name: unknown): unknown => {
    const lower = String(name).toLowerCase()
    const value = Reflect.apply(read, target, [name]) as unknown
    if (headers === undefined) return value
    const own = below(headers, lower)
    note(own)
    noteValue(own, value)
    return value
  }
}
