import { currentSession } from '../../src/fragment/deferred.js'
import type { CacheTag, EngineCache, TagBody, TagValues } from '../../src/engine.js'
import type { TagPosition } from '../../src/errors.js'
import { checkKeyword, faults } from '../../src/fragment/faults.js'
import { noteVaryOnNames, personalOf, watchNamedInPage } from '../../src/fragment/personal.js'
import type { HeldAt, VaryOnName } from '../../src/fragment/personal-names.js'
import { framesAroundBody, plainOf, type PersonalNames } from '../../src/fragment/watched.js'
import { renderTag } from '../../src/fragment/tag.js'
import type { HoleRenderer } from '../../src/fragment/hole-parts.js'
import type { Digests } from './digest.js'
import type { DataFrame, HelperOptions, Program } from './engine.js'
import { placeOf } from './facts.js'
import { blockFaults } from './faults.js'
import { partialsOf, type Holes } from './holes.js'
import { depthsOf, paramsOf, takeInputs, templateOf } from './instrument.js'
import { contextAround } from './no-context.js'
import { currentPage, inPage } from './pages.js'
import { copyFrames, isCalledForValue, scopeOf, type RunAsCaptured } from './scope.js'
import { seeing, seeingData, type Seen } from './seen.js'
import { placeOfContext } from './syntax.js'
import { Template } from './template.js'

/** What to do where a tag cannot wait. */
export const REMEDY = 'render with renderAsync, which registerCache gives'

/** Only precompiled templates can make names up; then these must not fill the memory. */
const MAX_NAMES = 1_000

/** The helper `cache`: its arguments are the tag's, its last one Handlebars' options. */
export type CacheHelper = (this: unknown, ...args: unknown[]) => string

export function makeHelper(
  engine: EngineCache,
  holes: Holes,
  digests: Digests | undefined,
): CacheHelper {
  const unknown = new Template()
  return function cache(...args) {
    const options = args.pop() as HelperOptions | undefined
    const body = options?.fn
    if (options === undefined || typeof body !== 'function') {
      throw blockFaults.inline(positionOf(options, undefined))
    }
    if (isCalledForValue(options.data)) return toText(body(this))
    const declared = takeInputs(args)
    const template = templateOf(body)
    const tag = tagOf(engine, template ?? unknown, args, options, body)
    // What Handlebars gives helpers for a missing context would count as one more level of `../`.
    const context = contextAround(body, this)
    const values = valuesOf(context, args, declared, options.hash, tag.hasKeywords)
    const partials = partialsOf(template)
    const given =
      digests === undefined
        ? values
        : { ...values, digest: digests.digestOf(template, partials, tag) }
    const fragment = engine.resolve(tag, given)
    const text = engine.find(fragment)
    if (text !== undefined) return text
    return renderTag(fragment, new Block(engine, tag, body, context, options.data, holes))
  }
}

type Data = Readonly<Record<string, unknown>> | undefined

/** A variable that a vary-on value names, behind what tells whose it is. */
const WRITTEN = /^(@root\.|@|\|\d+\.\d+\||(?:\.\.\/)*)(.*)$/

/** In front of what is the page's by its name. */
const OF_PAGE = /^@(root\.)?/

/** A variable of the data. */
const variableOf = (name: string): string => `@${name}`

/** What the body of a tag sees, which is watched. */
function seenIn(personal: PersonalNames, place: HeldAt, named: Seen['data'] | undefined): Seen {
  const [root] = place.given
  const known = new Map<string, { readonly one: unknown; readonly seen: unknown }>()
  return {
    context: (one) => personal.seen(one, place.given),
    held(one, variable) {
      personal.noteSpread(one, root)
      // Handlebars compares what a block is of with what those around it are of.
      const before = known.get(variable)
      if (before?.one === one) return before?.seen
      const seen = personal.standIn(one, variable, place)
      known.set(variable, { one, seen })
      return seen
    },
    data: (name, value) => {
      const seen = personal.standIn(personal.named(name, value), variableOf(name), place)
      return named === undefined ? seen : named(name, seen)
    },
  }
}

/** The block of a tag that is being rendered. */
class Block implements TagBody {
  readonly #engine: EngineCache
  readonly #tag: CacheTag
  readonly #body: Program
  readonly #context: unknown
  readonly #data: DataFrame | undefined
  readonly #page = currentPage()
  readonly #holes: Holes

  constructor(
    engine: EngineCache,
    tag: CacheTag,
    body: Program,
    context: unknown,
    data: DataFrame | undefined,
    holes: Holes,
  ) {
    this.#engine = engine
    this.#tag = tag
    this.#body = body
    this.#context = context
    this.#data = data
    this.#holes = holes
  }

  get holes(): HoleRenderer | undefined {
    return this.#page && this.#holes.of(this.#page)
  }

  renderBody(): string {
    return toText(this.#run(undefined))
  }

  /** @param kept - The data as it was where the tag is, if the body runs later. */
  #run(kept: DataFrame | undefined): unknown {
    const run = () =>
      kept === undefined ? this.#body(this.#context) : this.#body(this.#context, { data: kept })
    const personal = personalOf(this.#engine)
    const named = watchNamedInPage(this.#engine)
    const names = this.#tag.varyOnNames ?? []
    if (personal === undefined) {
      if (named === undefined) return run()
      noteVaryOnNames(names.map((name) => ({ name: name.replace(OF_PAGE, '') })))
      return seeingData(named, run)
    }
    const data = kept ?? this.#data
    const root = data === undefined ? this.#page?.context : data.root
    const place = { given: [root, data], around: framesAroundBody() }
    const seen = seenIn(personal, place, named)
    noteVaryOnNames(
      names.flatMap((written) => {
        const [, around = '', name = ''] = WRITTEN.exec(written) ?? []
        if (around !== '@') return this.#named(around, name, root, seen.held)
        const [first = '', ...rest] = name.split('.')
        const held = personal.varyOnHeld(data?.[first], variableOf(first), rest, place)
        // What differs per visitor is the same by its name in the data.
        return [{ name }, ...held]
      }),
    )
    return seeing(seen, run)
  }

  /**
   * What a vary-on value names of what templates were given, rather than of what a block is of.
   *
   * @param around - What is in front of the name.
   */
  #named(around: string, name: string, root: unknown, held: Seen['held']): readonly VaryOnName[] {
    const place = around === '' ? placeOfContext(0) : around
    const holder = around === '@root.' ? root : this.#holderOf(name.split('.')[0] ?? '', around)
    return personalOf(this.#engine)?.varyOn(held(holder, place), name, root) ?? []
  }

  /** @param around - What is in front of the name. */
  #holderOf(name: string, around: string): unknown {
    const depths = depthsOf(this.#body)
    if (around.startsWith('|')) {
      const [level = 0, at = 0] = around.slice(1, -1).split('.').map(Number)
      return paramsOf(this.#body)[level]?.[at]
    }
    if (around !== '') return depths[around.length / '../'.length]
    if (templateOf(this.#body)?.isCompat !== true) return this.#context
    return depths.find((one) => (plainOf(one) as Data)?.[name] !== undefined)
  }

  keepBody(): () => string {
    const body = this.#body
    const isKnown = templateOf(body) !== undefined || body.program === undefined
    if (!isKnown) throw blockFaults.unregistered(this.#tag)
    const data = this.#data && copyFrames(this.#data)
    const session = currentSession()
    const runAsNow = session && scopeOf(session).capture()
    return () => this.#renderKept(data, runAsNow)
  }

  #renderKept(data: DataFrame | undefined, runAsNow: RunAsCaptured | undefined): string {
    const render = () => this.#run(data)
    const late = runAsNow === undefined ? render : () => runAsNow(render)
    return toText(inPage(this.#page, late))
  }
}

/** A body of one expression gives that expression's value, whatever its type. */
function toText(value: unknown): string {
  return '' + (value as string)
}

function valuesOf(
  context: unknown,
  args: readonly unknown[],
  declared: ReadonlySet<string> | undefined,
  hash: HelperOptions['hash'],
  hasKeywords: boolean | undefined,
): TagValues {
  const timeout = args[0]
  const varyOn = args.slice(2)
  if (!hasKeywords) return { timeout, varyOn, declared }
  // Copied by hand: of objects of ever other shapes V8 takes long for a spread.
  const values: Record<string, unknown> = {}
  for (const name in hash) values[name] = hash[name]
  if ('if' in hash) values['if'] = isTrue(context, hash['if'])
  return Object.assign(values, { timeout, varyOn, declared })
}

/** As the helper `if` sees it. */
function isTrue(context: unknown, value: unknown): boolean {
  const result: unknown = typeof value === 'function' ? value.call(context) : value
  return Boolean(result) && !(Array.isArray(result) && result.length === 0)
}

/** The tag as it is written in its template; it is checked when it is met for the first time. */
function tagOf(
  engine: EngineCache,
  template: Template,
  args: readonly unknown[],
  options: HelperOptions,
  body: Program,
): CacheTag {
  const name = args[1] as string
  const start = options.loc?.start
  const hasKeywords = hasOwnKeys(options.hash)
  const known = template.sites.get(name)
  if (known !== undefined) {
    for (const { tag, column } of known) {
      const isHere = tag.line === start?.line && column === start?.column
      if (isHere && tag.hasKeywords === hasKeywords) return tag
    }
  }
  const position = positionOf(options, template)
  check(args, options, body, position)
  const tag = engine.tag({
    ...position,
    fragment: name,
    hasKeywords,
    varyOnNames: template.facts?.varyOn?.[placeOf(name, start)],
  })
  if (known === undefined) {
    if (template.sites.size >= MAX_NAMES) template.sites.clear()
    template.sites.set(name, [{ tag, column: start?.column }])
  } else known.push({ tag, column: start?.column })
  return tag
}

function hasOwnKeys(hash: HelperOptions['hash']): boolean {
  for (const _ in hash) return true
  return false
}

/** What the parser checks too, unless the template was precompiled by another program. */
function check(
  args: readonly unknown[],
  { inverse, hash, types }: HelperOptions,
  body: Program,
  position: TagPosition,
): void {
  const [, name] = args
  const at = typeof name === 'string' ? { ...position, fragment: name } : position
  if (types !== undefined) throw blockFaults.stringParams(at)
  if (inverse?.program !== undefined) throw blockFaults.otherwise(at)
  if (body.blockParams) throw blockFaults.blockParams(at)
  if (args.length < 2) throw faults.tooFewArguments(position)
  if (typeof name !== 'string' || name === '') throw faults.name(name, position)
  for (const key of Object.keys(hash)) checkKeyword(key, at)
}

export function positionOf(
  options: HelperOptions | undefined,
  template: Template | undefined,
): TagPosition {
  return {
    template: options?.loc?.source ?? template?.name ?? fileOf(options?.data),
    line: options?.loc?.start.line,
  }
}

/** What express-handlebars says of the view it renders. */
function fileOf(data: HelperOptions['data']): string | undefined {
  const { filePath } = (data?.['exphbs'] ?? {}) as { readonly filePath?: unknown }
  return typeof filePath === 'string' ? filePath : undefined
}
