import { currentSession } from '../../src/fragment/deferred.js'
import type { Container, Main, PartialOptions, Program, Render, TemplateSpec } from './engine.js'
import { scopeOf } from './scope.js'
import { Template } from './template.js'

const TEMPLATE = Symbol('fragcache.template')

type Marked<T> = T & { [TEMPLATE]?: Template }

/** The template a block's body belongs to, if it was made by an instance with the tag. */
export function templateOf(body: Program): Template | undefined {
  return (body as Marked<Program>)[TEMPLATE]
}

/** A partial that is being called. */
interface CalledPartial {
  readonly name: string
  /** It is registered as source, so it is about to be compiled, with its caller's options. */
  readonly isSource: boolean
}

/** The partial that is being called, until its template begins. */
let called: CalledPartial | undefined

/**
 * Names the template that is being compiled.
 *
 * @param srcName - The compile option; a partial that is source is compiled with its caller's.
 */
export function nameOfCompiled(srcName: string | undefined): string | undefined {
  return called?.isSource === true ? called.name : (srcName ?? called?.name)
}

/**
 * Makes a template whose tags know it, whose state is known to the bodies that run late, and whose
 * partials are indented once their text is there.
 *
 * @param make - Handlebars' own way.
 */
export function instrument(spec: TemplateSpec, make: (spec: TemplateSpec) => Render): Render {
  const { main } = spec
  if (typeof main !== 'function') return make(spec)
  const template = new Template()
  const render = make({ ...spec, main: instrumentMain(main, template) })
  const instrumented: Render = (context, options) => template.run(() => render(context, options))
  return Object.assign(instrumented, render)
}

function instrumentMain(main: Main, template: Template): Main {
  return (container, context, helpers, partials, data, blockParams, depths) => {
    if (template.container === undefined) {
      template.container = container
      instrumentContainer(container, template)
    }
    if (called !== undefined) {
      template.name ??= called.name
      called = undefined
    }
    const session = currentSession()
    if (session === undefined) {
      return main(container, context, helpers, partials, data, blockParams, depths)
    }
    return scopeOf(session).run(template, () =>
      main(container, context, helpers, partials, data, blockParams, depths),
    )
  }
}

function instrumentContainer(container: Container, template: Template): void {
  const { fn, program, invokePartial } = container
  // Handlebars looks the same decorator up each time, which costs as much as a warm fragment.
  const codes: object[] = []
  container.fn = (index) => (codes[index] ??= fn.call(container, index))
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
    return body
  }
  container.invokePartial = (partial, context, options) => {
    const outer = called
    called = findCalled(partial, options)
    try {
      const { indent } = options
      const session = indent ? currentSession() : undefined
      if (session === undefined) return invokePartial.call(container, partial, context, options)
      // Handlebars would indent the placeholders, not the lines of what comes in their place.
      options.indent = undefined
      const text = String(invokePartial.call(container, partial, context, options))
      return session.change(text, (full) => indentLines(full, indent as string))
    } finally {
      called = outer
    }
  }
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

/** As Handlebars does: every line, but not what follows the last line's end. */
function indentLines(text: string, indent: string): string {
  const lines = text.split('\n')
  return lines
    .map((line, i) => (line === '' && i + 1 === lines.length ? '' : indent + line))
    .join('\n')
}
