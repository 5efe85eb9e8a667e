import { currentSession } from '../../src/fragment/deferred.js'
import { beginVaryOn, endVaryOn } from '../../src/fragment/guard.js'
import { currentFrame } from '../../src/making/frame.js'
import { END, END_VARY_ON } from './vary-on-marks.js'
import type {
  Code,
  Container,
  DataFrame,
  Decorate,
  Main,
  PartialOptions,
  Program,
  Render,
  TemplateSpec,
} from './engine.js'
import type { TemplateFacts } from './facts.js'
import { indentText } from './indent.js'
import { beginBlock } from './no-context.js'
import { currentPage, inPage, type PageOptions } from './pages.js'
import { scopeOf } from './scope.js'
import { seeing, seeingCode, seeingData, type Seen } from './seen.js'
import { Template } from './template.js'

const TEMPLATE = Symbol('fragcache.template')
const AROUND = Symbol('fragcache.around')

/** Marks the argument behind a tag's vary-on values, also for another copy of this package. */
const INPUTS = Symbol.for('fragcache.handlebars.inputs')

interface Inputs {
  readonly [INPUTS]: ReadonlySet<string>
}

function wrapInputs(inputs: ReadonlySet<string> | undefined): Inputs | undefined {
  return inputs && { [INPUTS]: inputs }
}

/**
 * Takes what the compiler put behind a tag's vary-on values.
 *
 * @param args - The tag's; the last one is taken away if it was put there.
 * @returns The per-visitor inputs that its vary-on values have read, if any.
 */
export function takeInputs(args: unknown[]): ReadonlySet<string> | undefined {
  const last = args.at(-1)
  if (last === END) {
    args.pop()
    return undefined
  }
  if (typeof last !== 'object' || last === null || !(INPUTS in last)) return undefined
  args.pop()
  return (last as Inputs)[INPUTS]
}

/** What a body sees of the blocks around it, where it looks at them. */
interface Around {
  readonly blockParams: unknown
  readonly depths: unknown
}

type Marked<T> = T & {
  [TEMPLATE]?: Template
  [AROUND]?: Around
}

/**
 * The template a block's body, or a function that renders a whole template, belongs to, if it was made
 * by an instance with the tag.
 */
export function templateOf(body: object): Template | undefined {
  return (body as Marked<object>)[TEMPLATE]
}

/** What the blocks around a body are of, from the inside out; none where its template does not look at them. */
export function depthsOf(body: object): readonly unknown[] {
  return listOf((body as Marked<object>)[AROUND]?.depths)
}

/** The parameters of the blocks around a body, from the inside out. */
export function paramsOf(body: object): readonly (readonly unknown[])[] {
  return listOf((body as Marked<object>)[AROUND]?.blockParams).map(listOf)
}

function listOf(value: unknown): readonly unknown[] {
  return Array.isArray(value) ? value : []
}

/** A partial that is being called. */
interface CalledPartial {
  readonly name: string
  /** It is registered as source, so it is about to be compiled, with its caller's options. */
  readonly isSource: boolean
}

const ofOneRender = new WeakSet<object>()

/** Whether a partial was an option of a single `res.render`, and may hold what only its visitor may see. */
export function isOfOneRender(partial: object): boolean {
  return ofOneRender.has(partial)
}

/** @param context - Express' options of a render, and what it found, are all its variables. */
function noteOwnPartials(context: unknown): void {
  const { partials } = (context ?? {}) as { readonly partials?: unknown }
  if (typeof partials !== 'object' || partials === null) return
  for (const partial of Object.values(partials) as unknown[]) {
    if (isFunction(partial)) ofOneRender.add(partial)
  }
}

function isFunction(value: unknown): value is object {
  return typeof value === 'function'
}

/** The partial that is being called, until its template begins. */
let called: CalledPartial | undefined

/** What is wanted of the template that is called next, instead of its text. */
interface Wanted {
  readonly hole: string | undefined
  template: Template | undefined
  text: string | undefined
}

let wanted: Wanted | undefined

/**
 * Calls a template for one of its holes.
 *
 * @param hole - Left out: only to know the template.
 * @param call - Calls it, with what it is to see.
 * @returns The template, if it was one that knows of this, and the hole's text, if it has the hole.
 */
export function callForHole(
  hole: string | undefined,
  call: () => unknown,
): { readonly template: Template | undefined; readonly text: string | undefined } {
  const outer = wanted
  const asked: Wanted = { hole, template: undefined, text: undefined }
  wanted = asked
  try {
    // The content of a hole may see everything.
    seeing(undefined, call)
  } finally {
    wanted = outer
  }
  return asked
}

/**
 * Names the template that is being compiled.
 *
 * @param srcName - The compile option; a partial that is source is compiled with its caller's.
 */
export function nameOfCompiled(srcName: string | undefined): string | undefined {
  return called?.isSource === true ? called.name : (srcName ?? called?.name)
}

/**
 * Creates a template whose tags know it, whose late bodies know its state, and whose partials are indented
 * once their text is there.
 *
 * @param facts - Omitted: it was precompiled without the tag.
 * @param make - Handlebars' own way.
 * @param made - Called for each template.
 * @param named - Called with the name that first called it as a partial.
 * @param merge - Returns what a partial with its own values sees.
 * @param watch - Returns what a template sees that the application renders.
 */
export function instrument(
  spec: TemplateSpec & { readonly main: Main },
  facts: TemplateFacts | undefined,
  make: (spec: TemplateSpec) => Render,
  made: (template: Template) => void,
  named: (name: string, template: Template) => void,
  merge: Merge,
  watch: WatchPage,
): Render {
  const { main, main_d: decorate } = spec
  const template = new Template(spec, facts)
  const render = make({
    ...spec,
    main: instrumentMain(main, template, named, merge),
    ...(typeof decorate === 'function' && {
      main_d: instrumentDecorators(decorate, template, merge),
    }),
  })
  const instrumented: Marked<Render> = (context, options) => {
    if (!beginsPage(options)) return template.run(() => render(context, options))
    return inPage({ context, options: options ?? {}, template }, () => {
      const seen = watch(context)
      return template.run(() => seeingData(seen.data, () => render(seen.context, options)))
    })
  }
  instrumented[TEMPLATE] = template
  template.render = instrumented
  made(template)
  return Object.assign(instrumented, render)
}

/** What a template sees that an application renders. */
export type WatchPage = (context: unknown) => {
  readonly context: unknown
  readonly data: Seen['data'] | undefined
}

/** Whether a template is called by the application, rather than by another one or for a hole. */
function beginsPage(options: unknown): options is PageOptions | undefined {
  if (wanted !== undefined) return false
  const { partial } = (options ?? {}) as { readonly partial?: boolean }
  return partial !== true || currentPage() === undefined
}

/** A template's own inline partials are made before anything of it runs. */
function instrumentDecorators(decorate: Decorate, template: Template, merge: Merge): Decorate {
  return (fn, props, container, ...more) => {
    takeContainer(container, template, merge)
    return decorate(fn, props, container, ...more)
  }
}

function takeContainer(container: Container, template: Template, merge: Merge): void {
  if (template.container !== undefined) return
  template.container = container
  instrumentContainer(container, template, merge)
}

function instrumentMain(
  code: Main,
  template: Template,
  named: (name: string, template: Template) => void,
  merge: Merge,
): Main {
  const main = seeingCode(code as Code) as Main
  return (container, context, helpers, partials, data, blockParams, depths) => {
    takeContainer(container, template, merge)
    if (called !== undefined) {
      if (template.name === undefined) {
        template.name = called.name
        named(called.name, template)
      }
      called = undefined
    } else {
      noteOwnPartials(context)
    }
    const asked = wanted
    wanted = undefined
    const session = currentSession()
    if (session === undefined && asked === undefined) {
      return main(container, context, helpers, partials, data, blockParams, depths)
    }
    const code =
      asked === undefined
        ? () => main(container, context, helpers, partials, data, blockParams, depths)
        : () => answer(asked, template, container, context, data, blockParams, depths)
    return session === undefined ? code() : scopeOf(session).run(template, code)
  }
}

function answer(
  asked: Wanted,
  template: Template,
  container: Container,
  context: unknown,
  data: unknown,
  blockParams: unknown,
  depths: unknown,
): string {
  asked.template = template
  const hole = asked.hole === undefined ? undefined : template.hole(asked.hole)
  if (hole === undefined) return ''
  const params = blockParams && new Array<undefined>(hole.level).fill(undefined)
  const body = container.program(hole.program, data, 0, params, depths)
  asked.text = '' + (body(context) as string)
  return ''
}

/**
 * What a partial is given.
 *
 * @param root - What the page's template was given.
 * @returns `undefined`: Handlebars' own way will do.
 */
export type Merge = (context: unknown, own: Hash, root: unknown) => object | undefined

type Hash = Readonly<Record<string, unknown>>

function instrumentContainer(container: Container, template: Template, merge: Merge): void {
  const { fn, data, program, invokePartial } = container
  // Handlebars looks the same decorator up each time, which costs as much as a warm fragment.
  const codes: Code[] = []
  container.fn = (index) => (codes[index] ??= seeingCode(fn.call(container, index)))
  container.data = (value, depth) => {
    if (depth < END_VARY_ON) return data.call(container, value, depth)
    if (depth === END_VARY_ON) return wrapInputs(endVaryOn())
    beginVaryOn()
    return undefined
  }
  container.program = (index, data, declaredBlockParams, blockParams, depths) => {
    const body: Marked<Program> = program.call(
      container,
      index,
      data,
      declaredBlockParams,
      blockParams,
      depths,
    )
    body[TEMPLATE] = template
    beginBlock(body)
    if (depths !== undefined || blockParams !== undefined) body[AROUND] = { blockParams, depths }
    return body
  }
  container.invokePartial = (partial, given, options) => {
    const context = contextOfPartial(given, options, merge)
    const outer = called
    called = findCalled(partial, options)
    try {
      const { indent } = options
      const session = indent ? currentSession() : undefined
      const frame = indent ? currentFrame() : undefined
      if (indent === undefined || (session === undefined && frame === undefined)) {
        return invokePartial.call(container, partial, context, options)
      }
      // Handlebars would indent the placeholders, not the lines of what comes in their place.
      options.indent = undefined
      const text = String(invokePartial.call(container, partial, context, options))
      const indented = (full: string): string => indentText(frame, full, indent)
      return session === undefined ? indented(text) : session.deferred.change(text, indented)
    } finally {
      called = outer
    }
  }
}

/** Handlebars would copy all variables for the values of a partial, which is not to count as a read of them. */
function contextOfPartial(context: unknown, options: PartialOptions, merge: Merge): unknown {
  const { hash, ids, data } = options
  if (hash === undefined || ids !== undefined) return context
  const merged = merge(context, hash, (data as DataFrame | undefined)?.['root'])
  if (merged === undefined) return context
  options.hash = undefined
  return merged
}

function findCalled(
  partial: unknown,
  { name, partials }: PartialOptions,
): CalledPartial | undefined {
  if (name === undefined) {
    // The name of a dynamic partial is a value.
    if (typeof partial !== 'string') return undefined
    return { name: partial, isSource: typeof partials?.[partial] === 'string' }
  }
  return name === '@partial-block' ? undefined : { name, isSource: typeof partial === 'string' }
}
