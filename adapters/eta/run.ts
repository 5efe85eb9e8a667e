import { beginVaryOn, endVaryOn, type NamedValues, type TagValues } from '../../src/engine.js'
import { flightToJoin } from '../../src/fragment/makings.js'
import { Attempt } from '../../src/fragment/attempt.js'
import { openHere, textAtOnce, type Opened } from '../../src/fragment/open.js'
import type { Fragment } from '../../src/fragment/spec.js'
import { faults } from '../../src/fragment/faults.js'
import { HolesOfPage, renderHole, type HoleSource } from '../../src/fragment/holes.js'
import { nameValues } from '../../src/fragment/named-values.js'
import { addVaryOnNames, personalOf } from '../../src/fragment/personal.js'
import { framesAroundBody } from '../../src/fragment/watched.js'
import { outermostOf } from '../../src/fragment/template-frame.js'
import type { HoleRef, HoleRenderer } from '../../src/fragment/hole-parts.js'
import { findStray } from '../../src/fragment/placeholder.js'
import { currentFrame, type Frame } from '../../src/making/frame.js'
import { chain, isPromise, type MaybePromise } from '../../src/maybe-promise.js'
import { digestOf, type Digest } from './digest.js'
import { etaFaults } from './faults.js'
import { ENGINE, runHole } from './holes.js'
import { OpenFragment } from './open-fragment.js'
import type { CompiledTag } from './compiled.js'
import type { Runtime } from './runtime.js'
import type { EtaSite } from './site.js'
import { aheadOf, fragmentsTold, type Tells } from './told.js'
import {
  findHole,
  HOLE,
  holesIn,
  PAGE,
  type AskedHole,
  type Engine,
  type FoundHole,
  type Page,
  type RunOptions,
  type Template,
} from './templates.js'
import { WaitingText } from './waiting.js'
import { Writing, type EtaBuffer } from './writing.js'

/** What to do where a tag cannot wait. */
export const REMEDY =
  'call renderAsync or renderStringAsync instead of render or renderString, and includeAsync instead of include'

/** Shorter texts may be in another one by chance. */
const MIN_TEXT = 16

/** A variable that is not of the template's data. */
const variableOf = (name: string): string => `let ${name}`

/** One run of a template: what its code calls. */
export class TemplateRun implements HoleSource<Page, FoundHole> {
  readonly name = ENGINE
  /** Set by the template when it threw. */
  failed: { readonly error: unknown } | undefined
  readonly writing: Writing
  /** A tag's vary-on values are evaluated next, without waiting. */
  readonly beginVaryOn = beginVaryOn
  /** They were. @returns The per-user inputs that they have read. */
  readonly endVaryOn = endVaryOn
  readonly #runtime: Runtime
  readonly #engine: Engine
  readonly #filepath: string | undefined
  readonly #page: Page
  readonly #asked: AskedHole | undefined
  readonly #reach: () => unknown
  readonly #data: unknown
  /** Whether a nocache block was met in a fragment of this run. */
  #hasHoles = false
  #holes: HoleRenderer | undefined
  #known: { readonly name: string | undefined } | undefined
  #digest: Digest | undefined
  readonly #writes: Promise<void>[] = []

  /** @param reach - Gives the compiled template; throws in strict code. */
  constructor(
    runtime: Runtime,
    engine: Engine,
    buffer: EtaBuffer,
    options: RunOptions,
    readonly asynchronous: boolean,
    reach: () => unknown,
    data: unknown,
  ) {
    this.#data = data
    this.#runtime = runtime
    this.#engine = engine
    this.writing = new Writing(buffer)
    this.#reach = reach
    this.#filepath = options.filepath
    this.#page = options[PAGE] as Page
    this.#asked = options[HOLE]
    // What the block includes is rendered as a whole.
    if (this.#asked !== undefined) options[HOLE] = undefined
  }

  /* What the code of a template calls. */

  /** The nocache block that is to be rendered in place of the whole template. */
  get asked(): string | undefined {
    return this.#asked?.id
  }

  /** The tag whose JSON is here. */
  site(strings: TemplateStringsArray): EtaSite {
    return this.#runtime.sites.get(strings) ?? this.#makeSite(strings)
  }

  /** What a body is to see of the template's data; anything else of that name as it is. */
  watch(data: unknown): unknown {
    return data === this.#data ? this.#runtime.cache.watch(data) : data
  }

  /**
   * The body sees variables of the template, which count as read.
   *
   * @param values - Gives each of them; throws for one that is declared further down.
   */
  takes({ ownNames = [] }: EtaSite, values: Readonly<Record<string, () => unknown>>): void {
    const personal = personalOf(this.#runtime.cache)
    if (personal === undefined) return
    const at = { given: [this.#data, this.#page.data], around: framesAroundBody() }
    const taken = Object.entries(values).flatMap(([name, give]) => {
      try {
        return [[name, give()] as const]
      } catch {
        return []
      }
    })
    for (const [name, value] of taken) {
      const own = ownNames.map((one) => one.split('.')).filter(([first]) => first === name)
      addVaryOnNames(
        own.flatMap(([, ...rest]) => personal.varyOnHeld(value, variableOf(name), rest, at)),
      )
    }
    for (const [name, value] of taken) personal.takeWhole(value, variableOf(name), at)
  }

  #makeSite(strings: TemplateStringsArray): EtaSite {
    const compiled = JSON.parse(strings[0] ?? '') as CompiledTag
    const {
      fragment,
      line,
      awaits,
      nests,
      exposed,
      source,
      hasKeywords = false,
      varyOnNames,
      ownNames,
    } = compiled
    const place = { fragment, line, hasKeywords, varyOnNames, template: this.#templateName }
    const tag = this.#runtime.cache.tag(place)
    // All of one shape: each hit reads them.
    const site = { awaits, nests, exposed, source, ownNames, tag, digest: undefined }
    this.#runtime.sites.set(strings, site)
    return site
  }

  /**
   * A tag begins.
   *
   * @returns `null`: it was found and its text is added.
   * @throws CacheTagError: a value cannot be used, the cache cannot be waited for, or something else
   *   is being rendered into the same buffer.
   */
  open(site: EtaSite, values: TagValues): OpenFragment | null {
    const { tag } = site
    const { writing } = this
    writing.check(tag)
    const fragment = this.#fragmentOf(site, values)
    const parent = currentFrame()
    if (!fragment.cache.answersAtOnce && !fragment.bypass) {
      if (!this.asynchronous) throw faults.synchronous(fragment.alias, REMEDY, tag)
      return this.#openAhead(site, fragment, parent)
    }
    const mayWait = site.awaits || (site.nests && this.asynchronous)
    const opened = openHere(fragment, parent, mayWait, this)
    if (typeof opened === 'string') {
      writing.buffer.res += opened
      return null
    }
    if (isPromise(opened)) {
      if (!this.asynchronous) {
        opened.catch(() => undefined)
        throw faults.asynchronousHole(tag)
      }
      return new OpenFragment(this, site, fragment, parent, opened, 'lookup')
    }
    const joins =
      this.asynchronous &&
      opened.flight === undefined &&
      flightToJoin(fragment, parent) !== undefined
    const wait = joins ? 'lookup' : site.awaits ? 'turn' : undefined
    return new OpenFragment(this, site, fragment, parent, opened, wait)
  }

  /** Opens a fragment over a cache that does not answer at once: without waiting, where its answer is there. */
  #openAhead(site: EtaSite, fragment: Fragment, parent: Frame | undefined): OpenFragment | null {
    const text = textAtOnce(fragment, parent)
    if (text !== undefined) {
      this.writing.buffer.res += text
      return null
    }
    const ahead = aheadOf(this.#page, this.#runtime.trails)
    const known = ahead.openKnown({ fragment, parent, holes: this.holes })
    if (known === undefined || isPromise(known)) {
      const opened = known?.then((late) => (late instanceof Attempt ? late : late.text))
      return new OpenFragment(this, site, fragment, parent, opened, 'lookup')
    }
    if (known instanceof Attempt) {
      const wait = site.awaits ? 'turn' : undefined
      return new OpenFragment(this, site, fragment, parent, known, wait)
    }
    this.writing.buffer.res += known.text
    return null
  }

  #fragmentOf(site: EtaSite, values: TagValues): Fragment {
    const digest = site.source === undefined ? undefined : this.#digestOf(site)
    const given = digest === undefined ? values : { ...values, digest }
    return this.#runtime.cache.resolve(site.tag, given)
  }

  /**
   * Renders a nocache block at this place.
   *
   * @param strings - Its JSON.
   * @param values - Those that it names.
   * @returns The output for it: a mark if something around is stored, otherwise its text.
   * @throws CacheTagError: a value cannot be stored, or the block could not be rendered on a hit.
   */
  hole(strings: TemplateStringsArray, values: NamedValues): string | WaitingText {
    const { id, line } = this.#runtime.holeAt(strings)
    const outermost = outermostOf(currentFrame())
    if (outermost !== undefined) this.#hasHoles = true
    const fragment = outermost?.fragment?.site.fragment
    const template = this.#nameOfHole(id)
    const position = { template, line, ...(fragment === undefined ? undefined : { fragment }) }
    const ref = { e: ENGINE, t: template ?? '', h: nameValues(id, values, position) }
    const around = outermost?.holes
    const isOfPage = (around?.page ?? this.#page) === this.#page
    if (ref.t === '' && isOfPage && around?.has(ref) === false) throw etaFaults.nameless(position)
    const inPlace = () =>
      chain(this.holes.render(ref), (text) => {
        if (text === undefined) throw etaFaults.nameless(position)
        return text
      })
    const text = renderHole<MaybePromise<string>>(ref, position, inPlace, this.#page)
    return isPromise(text) ? new WaitingText(this.writing, position, false, text) : text
  }

  /** @throws CacheTagError: `layout` or `block` is called inside a fragment. */
  outside(call: string): void {
    const { top } = this.writing
    if (top !== undefined) throw etaFaults.lost(call, top.site)
  }

  /**
   * The template is left, one way or another.
   *
   * @returns What is still being stored, if anything.
   * @throws CacheTagError: it did not throw, but texts were mixed up, or something is still being
   *   rendered that nobody waited for.
   */
  finish(): Promise<unknown> | undefined {
    this.#page.ahead?.note()
    const conflict = this.writing.finish()
    if (this.failed === undefined) {
      if (conflict !== undefined) throw conflict
      if (this.#hasHoles) this.#checkStray()
    }
    if (this.#writes.length > 0) return Promise.all(this.#writes)
    if (this.#asked !== undefined) {
      this.#asked.result = this.failed ?? { text: this.writing.buffer.res }
    }
    return undefined
  }

  /* What its fragments call. */

  /**
   * Whether a text may be stored. It may not where it perhaps holds what a layout was given, with per-user
   * output in it.
   *
   * @throws CacheTagError: it surely does.
   */
  mayStore(text: string, site: EtaSite): boolean {
    const given = this.#page.layoutTexts.filter((one) => text.includes(one))
    if (given.some(({ length }) => length >= MIN_TEXT)) throw etaFaults.placedBefore(site.tag)
    return given.length === 0
  }

  /** Something is being stored. @param write - Never rejects. */
  stores(write: Promise<void>): void {
    this.#writes.push(write)
  }

  get storeCount(): number {
    return this.#writes.length
  }

  /** When everything is stored that began to be since the count was this; never rejects. */
  storedSince(count: number): Promise<unknown> | undefined {
    return count === this.#writes.length ? undefined : Promise.all(this.#writes.slice(count))
  }

  /** Looks a fragment up, together with what the page is expected to ask for next. */
  lookUp(fragment: Fragment, parent: Frame | undefined, tells: Tells): Promise<Opened> {
    const ahead = aheadOf(this.#page, this.#runtime.trails)
    return ahead.open({ fragment, parent, holes: this.holes }, () =>
      fragmentsTold(this.#asked === undefined ? tells() : [], (site, values) =>
        this.#fragmentOf(site, values),
      ),
    )
  }

  /* What its nocache blocks need. */

  /** Renders the nocache blocks of the page, as this template finds them. */
  get holes(): HoleRenderer {
    return (this.#holes ??= new HolesOfPage(this, this.#page, false))
  }

  find(name: string, id: string): FoundHole | undefined {
    this.#hasHoles = true
    const template = name === (this.#templateName ?? '') ? this.#template : undefined
    if (template === undefined) return findHole(this.#engine, name, id, this.asynchronous)
    const hole = holesIn(template).get(id)
    return hole && { template, path: undefined, hole }
  }

  render(found: FoundHole, page: Page, _ref: HoleRef, values: NamedValues): MaybePromise<string> {
    return runHole(found, this.#engine, page, values, this.#filepath)
  }

  get #templateName(): string | undefined {
    return (this.#known ??= { name: this.#nameOf((one) => one === this.#template) }).name
  }

  #nameOf(isMeant: (template: Template) => boolean): string | undefined {
    return this.#runtime.nameOf(this.#engine, this.#filepath, isMeant)
  }

  /** In strict code nothing tells what template this is, but its hole does. */
  #nameOfHole(id: string): string | undefined {
    if (this.#template !== undefined) return this.#templateName
    return this.#nameOf((template) => holesIn(template).has(id))
  }

  get #template(): Template | undefined {
    try {
      return this.#reach() as Template
    } catch {
      // The user's function header made the code strict.
      return undefined
    }
  }

  /** @throws CacheTagError: the mark of a nocache block was carried out of its fragment. */
  #checkStray(): void {
    if (outermostOf(currentFrame()) !== undefined) return
    const stray = findStray(this.writing.buffer.res, 'hOlE')
    if (stray !== undefined) throw faults.strayHole(stray)
  }

  #digestOf(site: EtaSite): string {
    const known = (this.#digest ??= site.digest?.isCurrent === true ? site.digest : undefined)
    const onDynamic = (name: string | undefined) =>
      this.#runtime.warnOfDynamic(name ?? this.#templateName)
    const digest =
      known ??
      digestOf(
        site.source as NonNullable<EtaSite['source']>,
        this.#engine,
        this.#filepath,
        this.asynchronous,
        onDynamic,
      )
    this.#digest = digest
    site.digest = digest
    return digest.text
  }
}
