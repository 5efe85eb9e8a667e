import { didYouMean } from '../did-you-mean.js'
import { show } from '../errors.js'
import { KEYWORDS } from './faults.js'

/** How the fragments of one `FragmentCache` are rendered. */
export interface FragmentSettings {
  /**
   * Whether an undeclared read of a per-user input is an error. Otherwise the fragment is not stored.
   */
  readonly strict: boolean
  /** Whether a fragment lives no longer than what is in it. */
  readonly bubbleTimeout: boolean
}

/** Options of fragments, wherever they are rendered. */
export interface FragmentRules {
  /**
   * Whether a fragment throws if it reads a per-user value and does not vary on it: one that the engine's option
   * `personal` names, or that `guard` of `fragcache/express` watches. Otherwise it is rendered and not stored.
   * Default: `true`, unless `NODE_ENV` is `production`.
   */
  readonly strict?: boolean | undefined
  /**
   * Whether a fragment lives no longer than the fragments and values in it. Pages have their own option for
   * this. Default: `false`.
   */
  readonly bubbleTimeout?: boolean | undefined
}

/** Options of all engine adapters. */
export interface AdapterOptions extends FragmentRules {
  /**
   * Whether a digest of the template's source, with all that it includes and extends, is part of each key, so
   * that a changed template never shows old markup. Keys then differ from Django's. Default: `false`.
   */
  readonly digest?: boolean | undefined
  /**
   * Names of the template variables that differ per visitor: `['user', 'session.cart']`. A fragment that
   * reads one in its body, also through includes, macros, helpers and getters, must name it in its vary-on
   * values. Otherwise it throws with `strict`, and is not stored without. Default: unless `NODE_ENV` is
   * `production`, a read of the usual names (`user`, `session`, `csrfToken`, `cart` …) emits a warning. `[]`:
   * nothing is watched.
   */
  readonly personal?: readonly string[] | undefined
}

/** @throws TypeError: an option is not what it should be. */
export function toSettings({ strict, bubbleTimeout }: FragmentRules): FragmentSettings {
  checkFlag('strict', strict)
  checkFlag('bubbleTimeout', bubbleTimeout)
  return {
    strict: strict ?? process.env['NODE_ENV'] !== 'production',
    bubbleTimeout: bubbleTimeout ?? false,
  }
}

/** Options that belong in each tag. */
const IN_THE_TAG = {
  timeout: 'the first argument of the tag: 500 sidebar',
  varyOn: 'the values behind the name in the tag: 500 sidebar user.name',
  ...Object.fromEntries(KEYWORDS.map((name) => [name, 'a keyword of the tag'])),
}

const ADAPTER_OPTIONS = ['strict', 'bubbleTimeout', 'digest', 'personal']

/** @throws TypeError: they are no options of an adapter's. */
export function checkAdapterOptions(options: unknown): asserts options is AdapterOptions {
  if (typeof options !== 'object' || options === null) {
    throw new TypeError(`options: ${show(options)} is not an object; write { digest: true }`)
  }
  for (const [name, value] of Object.entries(options)) {
    if (!ADAPTER_OPTIONS.includes(name)) {
      throw new TypeError(
        `options: ${show(name)} is unknown; there are ${ADAPTER_OPTIONS.join(', ')}${didYouMean(name, ADAPTER_OPTIONS, IN_THE_TAG)}`,
      )
    }
    if (name === 'personal') checkPersonal(value)
    else checkFlag(name, value)
  }
}

function checkFlag(name: string, value: unknown): void {
  if (value === undefined || typeof value === 'boolean') return
  throw new TypeError(`${name}: ${show(value)} is neither true nor false`)
}

/** @throws TypeError: the option `personal` is no list of names. */
function checkPersonal(personal: unknown): void {
  if (personal === undefined) return
  if (!Array.isArray(personal)) {
    throw new TypeError(
      `personal: ${show(personal)} is not a list of names; write for example ['user', 'session.cart']`,
    )
  }
  for (const path of personal as unknown[]) {
    if (isPersonalPath(path)) continue
    throw new TypeError(`personal: ${show(path)} is not a name such as 'user' or 'session.cart'`)
  }
}

export function isPersonalPath(path: unknown): boolean {
  return typeof path === 'string' && path.split('.').every((name) => name.trim() !== '')
}
