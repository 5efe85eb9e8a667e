import { currentSession } from '../../src/fragment/deferred.js'
import type { TagSite } from '../../src/fragment/spec.js'
import type { Container, Main, PartialOptions, Program, TemplateSpec } from './engine.js'
import { scopeOf } from './scope.js'

const OWNER = Symbol('fragcache.owner')

/** What is known of a compiled template. */
export class Owner {
  /** The name it was first called by as a partial. */
  name: string | undefined
  /** Its tags by fragment name. */
  readonly sites = new Map<string, TagSite[]>()

  constructor(readonly container: Container | undefined) {}
}

type Owned<T> = T & { [OWNER]?: Owner }

/** The template a block's body belongs to, if it was made by an instance with the tag. */
export function ownerOf(body: Program): Owner | undefined {
  return (body as Owned<Program>)[OWNER]
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
 * Makes a template's container known to the tags in it, its state to the bodies that run late, and
 * partials to be indented once their text is there.
 */
export function instrument(spec: TemplateSpec): TemplateSpec {
  const { main } = spec
  if (typeof main !== 'function') return spec
  const instrumented: Main = (container, context, helpers, partials, data, blockParams, depths) => {
    const owner = (container as Owned<Container>)[OWNER] ?? own(container)
    if (called !== undefined) {
      owner.name ??= called.name
      called = undefined
    }
    const session = currentSession()
    if (session === undefined) {
      return main(container, context, helpers, partials, data, blockParams, depths)
    }
    return scopeOf(session).run(container, () =>
      main(container, context, helpers, partials, data, blockParams, depths),
    )
  }
  return { ...spec, main: instrumented }
}

function own(container: Owned<Container>): Owner {
  const owner = new Owner(container)
  container[OWNER] = owner
  const { fn, program, invokePartial } = container
  // Handlebars looks the same decorator up each time, which costs as much as a warm fragment.
  const codes: object[] = []
  container.fn = (index) => (codes[index] ??= fn.call(container, index))
  container.program = (index, data, declaredBlockParams, blockParams, depths) => {
    const body: Owned<Program> = program.call(
      container,
      index,
      data,
      declaredBlockParams,
      blockParams,
      depths,
    )
    body[OWNER] = owner
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
  return owner
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
