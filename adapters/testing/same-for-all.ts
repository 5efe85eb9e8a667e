import { AssertionError } from 'node:assert'
import type { Cache } from '../../src/cache.js'
import { eachOf, cachesInUse } from '../../src/caches.js'
import { checkOptions } from '../../src/cache-options.js'
import { show } from '../../src/errors.js'
import { readCacheStatus } from './cache-status.js'
import { eachCache, type TestedCaches } from './caches.js'
import { idsIn, secretsIn } from './secrets.js'
import { Truth, type Wrong } from './truth.js'
import { toVisitors, type NamedVisitor, type Visitors } from './visitors.js'
import { OpenSite, type TestedSite, type Visit } from './visits.js'

/** Options of {@link sameForAll}. */
export interface SameForAllOptions {
  /**
   * The caches of the site. They are cleared repeatedly. Default: none if a visitor has an `own` text, and then
   * only these texts are looked for; otherwise all that `createCaches` made in this process and nobody closed.
   */
  readonly caches?: TestedCaches | undefined
  /** Parts to remove from every page before pages are compared, such as random content. */
  readonly ignore?: RegExp | readonly RegExp[] | undefined
}

/** Renders of each page with empty caches at first, and those that are added before anything is complained of. */
const RENDERS = 2
const MORE_RENDERS = 3

/** Most requests until a page that is said to be stored is found. */
const MOST_VISITS = 10

/**
 * Requests pages as several visitors, both with empty caches and with what the others left there. It fails if
 * anybody gets what is not theirs: from a stored page, a fragment, or a value.
 *
 * With empty caches all visitors get what is truly theirs. Then each of them is the first once, and what the
 * others get after that must be the same. Places that differ between any two renders, such as times and
 * random content, are left out. CSRF tokens and nonces fail if two visitors get the same one.
 *
 * @param app - An Express app or a listener of `node:http`, a server, or the URL of a running one.
 * @param paths - One or several paths, each with its query.
 * @param visitors - At least two visitors, by name or as a list.
 * @throws AssertionError: a visitor gets something else than with empty caches, another visitor's `own` text,
 *   or not their own.
 * @throws TypeError: an argument is none of these; or there is neither `caches` nor `own` to detect anything
 *   with, and this process has no caches.
 */
export async function sameForAll(
  app: TestedSite,
  paths: string | readonly string[],
  visitors: Visitors,
  options: SameForAllOptions = {},
): Promise<void> {
  checkOptions(options, ['caches', 'ignore'])
  const all = toVisitors(visitors)
  const caches = cachesOf(options, all)
  const checked = { paths: toPaths(paths), all, caches, ignore: toPatterns(options.ignore) }
  const site = await OpenSite.open(app)
  try {
    await new Comparison(site, checked).run()
  } finally {
    await site.close()
  }
}

function cachesOf(
  { caches }: SameForAllOptions,
  visitors: readonly NamedVisitor[],
): readonly Cache[] | undefined {
  if (caches !== undefined) return eachCache('sameForAll', caches)
  if (visitors.some(({ own }) => own.length > 0)) return undefined
  const open = [...new Set(cachesInUse().flatMap(eachOf))]
  if (open.length > 0) return open
  throw new TypeError(
    "sameForAll: there is nothing to tell by what belongs to whom; give { caches }, so that they can be cleared, or texts that only one visitor is shown: ann: { cookie: '…', own: 'Ann' }",
  )
}

function toPaths(paths: unknown): readonly string[] {
  const list: readonly unknown[] = Array.isArray(paths) ? paths : [paths]
  for (const path of list) {
    if (typeof path === 'string' && path.startsWith('/')) continue
    throw new TypeError(
      `sameForAll: path: ${show(path)} is not a path; give for example '/products/7'`,
    )
  }
  if (list.length === 0) throw new TypeError('sameForAll: paths: give at least one')
  return list as string[]
}

function toPatterns(ignore: unknown): readonly RegExp[] {
  if (ignore === undefined) return []
  const list: readonly unknown[] = Array.isArray(ignore) ? ignore : [ignore]
  return list.map((one) => {
    if (!(one instanceof RegExp)) {
      throw new TypeError(`sameForAll: ignore: ${show(one)} is not a regular expression`)
    }
    return new RegExp(one.source, one.flags.includes('g') ? one.flags : `${one.flags}g`)
  })
}

interface Checked {
  readonly paths: readonly string[]
  readonly all: readonly NamedVisitor[]
  readonly caches: readonly Cache[] | undefined
  readonly ignore: readonly RegExp[]
}

/** A visit, and what was before it. */
interface Warm {
  readonly visitor: NamedVisitor
  readonly path: string
  readonly visit: Visit
  /** Who came first after the caches were cleared. */
  readonly first: NamedVisitor
}

class Comparison {
  readonly #site: OpenSite
  readonly #checked: Checked
  /** By path and visitor. */
  readonly #truths = new Map<string, Map<NamedVisitor, Truth>>()
  /** Set with empty caches. */
  readonly #cookies = new Set<string>()

  constructor(site: OpenSite, checked: Checked) {
    this.#site = site
    this.#checked = checked
  }

  async run(): Promise<void> {
    const { paths, all } = this.#checked
    for (const path of paths) await this.#learn(path, RENDERS)
    for (const first of all) {
      const round = await this.#goRound(first)
      this.#expectOwn(round)
      this.#expectOwnSecrets(round)
      for (const warm of round) await this.#judge(warm)
    }
  }

  /** What each gets with empty caches. */
  async #learn(path: string, renders: number): Promise<void> {
    const { all, caches } = this.#checked
    if (caches === undefined) return
    const truths = this.#truths.get(path) ?? new Map<NamedVisitor, Truth>()
    this.#truths.set(path, truths)
    for (let render = 0; render < renders; render++) {
      for (const visitor of all) {
        await this.#clear()
        const visit = await this.#visit(visitor, path, visitor)
        if (isHit(visit)) throw notAllCaches(visitor, path, visit)
        for (const cookie of visit.cookies) this.#cookies.add(cookie)
        const truth = truths.get(visitor)
        if (truth === undefined) truths.set(visitor, new Truth(visit.text))
        else truth.add(visit.text)
      }
    }
  }

  async #clear(): Promise<void> {
    for (const cache of this.#checked.caches ?? []) await cache.clear()
  }

  async #visit(visitor: NamedVisitor, path: string, first: NamedVisitor): Promise<Visit> {
    const got = await this.#site.get(path, visitor.headers)
    if (got.status >= 500) throw failedPage(visitor, path, got)
    let { text } = got
    for (const pattern of this.#checked.ignore) text = text.replaceAll(pattern, '')
    const visit = { ...got, text }
    this.#expectNoForeign({ visitor, path, visit, first })
    return visit
  }

  /** One comes first and fills the caches; then come all, twice, since each may fill what the others did not. */
  async #goRound(first: NamedVisitor): Promise<Warm[]> {
    const { paths, all } = this.#checked
    const round: Warm[] = []
    const go = async (visitor: NamedVisitor, path: string) => {
      const visit = await this.#visit(visitor, path, first)
      round.push({ visitor, path, visit, first })
      return visit
    }
    await this.#clear()
    for (const path of paths) {
      // A page is stored while it is sent, or a moment later.
      for (let count = 0; count < MOST_VISITS; count++) {
        const visit = await go(first, path)
        if (count > 0 && (isHit(visit) || !isSaidStored(visit))) break
      }
    }
    for (const visitor of [...all, ...all]) for (const path of paths) await go(visitor, path)
    return round
  }

  #expectNoForeign({ visitor, path, visit, first }: Warm): void {
    for (const other of this.#checked.all) {
      if (other === visitor) continue
      const shown = shownIn(visit)
      const foreign = other.own.find((text) => shown.includes(text))
      if (foreign === undefined || visitor.own.includes(foreign)) continue
      const at = shown.indexOf(foreign)
      const got = shown.slice(Math.max(0, at - 40), at + foreign.length + 40)
      throw this.#complaint({ visitor, path, visit, first }, [
        `${quoted(visitor)} gets at ${path} what is ${quoted(other)}'s own: ${JSON.stringify(foreign)}`,
        `got:      …${got.replaceAll(/\s+/g, ' ')}…`,
      ])
    }
  }

  #expectOwn(round: readonly Warm[]): void {
    for (const visitor of this.#checked.all) {
      const theirs = round.filter((warm) => warm.visitor === visitor)
      for (const text of visitor.own) {
        if (theirs.some(({ visit }) => shownIn(visit).includes(text))) continue
        const [warm] = theirs as [Warm]
        throw this.#complaint(warm, [
          `${quoted(visitor)} never gets ${JSON.stringify(text)} at ${this.#checked.paths.join(', ')}, which is said to be their own`,
          'Either a page is kept for somebody else, or the request does not say who it is: look at `cookie` and `headers`.',
        ])
      }
    }
  }

  /** A token that differs with every render tells nothing, unless two visitors get the same one. */
  #expectOwnSecrets(round: readonly Warm[]): void {
    const owners = new Map<string, NamedVisitor>()
    for (const warm of round) {
      const { visitor, path, visit } = warm
      const truths = this.#truths.get(path)
      if (truths === undefined) continue
      for (const secret of [...secretsIn(visit.text), ...idsIn(visit.cookies)]) {
        // What is there with empty caches too is made from something else than chance, and is compared anyway.
        if (this.#cookies.has(secret)) continue
        if ([...truths.values()].some((truth) => truth.contains(secret))) continue
        const owner = owners.get(secret) ?? visitor
        owners.set(secret, owner)
        if (owner === visitor) continue
        throw this.#complaint(warm, [
          `${quoted(visitor)} gets at ${path} the token that was made for ${quoted(owner)}: ${JSON.stringify(secret)}`,
          'With empty caches no token is given twice. If it is to be shared, leave it out by `ignore`.',
        ])
      }
    }
  }

  async #judge(warm: Warm): Promise<void> {
    if (this.#wrongIn(warm) === undefined) return
    // A minute may have passed, or chance have chosen otherwise.
    await this.#learn(warm.path, MORE_RENDERS)
    const wrong = this.#wrongIn(warm)
    if (wrong === undefined) return
    const { visitor, path } = warm
    const owner = this.#ownerOf(wrong, warm)
    const whose = owner === undefined ? '' : `   (as ${quoted(owner)} gets it)`
    throw this.#complaint(warm, [
      `${quoted(visitor)} gets another answer at ${path} than with empty caches`,
      `expected: ${wrong.expected}`,
      `got:      ${wrong.got}${whose}`,
    ])
  }

  #wrongIn({ visitor, path, visit }: Warm): Wrong | undefined {
    const truths = this.#truths.get(path)
    const others = this.#checked.all.filter((one) => one !== visitor)
    const truthOf = (one: NamedVisitor) => truths?.get(one) as Truth
    return truths && truthOf(visitor).wrongIn(visit.text, others.map(truthOf))
  }

  /** Whose it is that somebody got. */
  #ownerOf({ tokens }: Wrong, { visitor, path }: Warm): NamedVisitor | undefined {
    const truths = this.#truths.get(path)
    const mine = truths?.get(visitor)
    const told = tokens.filter((token) => token.trim().length > 1 && mine?.hasEver(token) !== true)
    if (told.length === 0) return undefined
    return this.#checked.all.find(
      (one) => one !== visitor && told.every((token) => truths?.get(one)?.hasEver(token)),
    )
  }

  #complaint({ visitor, visit, first }: Warm, [what = '', ...rest]: readonly string[]) {
    const after = first === visitor ? 'who was the first there' : `after ${quoted(first)} was there`
    const status = visit.headers['cache-status']
    const from = visit.fragments.join(', ')
    const lines = [`sameForAll: ${what}, ${after}.`, ...rest]
    if (status !== undefined) lines.push(`Cache-Status: ${String(status)}`)
    if (from !== '') lines.push(`Fragments from the cache: ${from}`)
    lines.push(`What to do: ${this.#remedy(visit)}`)
    return new AssertionError({
      message: lines.join('\n  '),
      operator: 'sameForAll',
      stackStartFn: sameForAll,
    })
  }

  #remedy(visit: Visit): string {
    const holes =
      "put it in a hole (`nocache`), which is rendered for each visitor; `personal: ['user']` keeps what reads it unnamed from being shared"
    if (!isHit(visit)) {
      return `a fragment or a value is shared that differs per visitor. Name what it differs by among its vary-on values (in the key of a value), or ${holes}.`
    }
    const names = new Set(this.#checked.all.flatMap(({ headers }) => Object.keys(headers)))
    const vary = [...names].map((name) =>
      name.toLowerCase() === 'cookie' ? '`varyOnCookie()`' : `\`varyOnHeaders('${name}')\``,
    )
    return `the page is kept for all. Let it vary on what it differs by (${vary.join(', ')}), or say \`private\`; or ${holes}.`
  }
}

/** Everything that a visitor gets. */
function shownIn({ text, cookies }: Visit): string {
  return [text, ...cookies].join('\n')
}

function quoted({ name }: NamedVisitor): string {
  return JSON.stringify(name)
}

/** Whether a parameter is in what this package says in `Cache-Status`. */
function says({ headers }: Visit, parameter: string): boolean {
  const { own } = readCacheStatus(String(headers['cache-status'] ?? ''))
  return own.some(({ parameters }) => parameters.has(parameter))
}

const isHit = (visit: Visit) => says(visit, 'hit')
const isSaidStored = (visit: Visit) => says(visit, 'stored')

function failedPage(visitor: NamedVisitor, path: string, { text, status }: Visit): AssertionError {
  return new AssertionError({
    message: `sameForAll: ${quoted(visitor)} gets an error of the site at ${path} (status ${status}), which tells nothing: ${text.slice(0, 300)}`,
    operator: 'sameForAll',
    stackStartFn: sameForAll,
  })
}

function notAllCaches(visitor: NamedVisitor, path: string, visit: Visit): AssertionError {
  return new AssertionError({
    message: `sameForAll: ${quoted(visitor)} gets at ${path} a page from the cache although the caches were cleared (Cache-Status: ${String(visit.headers['cache-status'])}): give as \`caches\` those that the site uses, all of them`,
    operator: 'sameForAll',
    stackStartFn: sameForAll,
  })
}
