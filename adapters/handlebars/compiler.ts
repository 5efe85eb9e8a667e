import type { Findings } from './check.js'
import type { Instance } from './engine.js'
import { FACTS, type HoleFacts, type TemplateFacts } from './facts.js'
import type { Node } from './syntax.js'

/** What `container.data` is asked for around a tag's vary-on values; no frame is that deep. */
export const BEGIN_VARY_ON = 2_147_483_647
export const END_VARY_ON = 2_147_483_646

/** What stands behind a tag's vary-on values where nothing tells what they have read. */
export const END = '\0fragcache'

/** The node that stands behind a tag's vary-on values. */
const END_NODE: Node = { type: 'StringLiteral', value: END, original: END }

/** A compiled program, as Handlebars' two compilers hand it on. */
interface Environment {
  /** Its number, once its code was made. */
  readonly index?: number
}

interface Pending {
  readonly facts: TemplateFacts
  readonly programs: Map<HoleFacts, Environment>
}

/**
 * Makes an instance's compilers put into each template what was found out about it, precompiled ones
 * included, and tell where the evaluation of a tag's vary-on values begins and ends.
 *
 * @param findingsOf - What was found in a template's tree.
 */
export function extendCompilers(
  instance: Required<Pick<Instance, 'Compiler' | 'JavaScriptCompiler'>>,
  findingsOf: (tree: Node) => Findings | undefined,
): void {
  const pending = new WeakMap<Environment, Pending>()
  // One template is compiled after another, and nothing in between.
  let current: { readonly findings: Findings; readonly pending: Pending } | undefined

  const Base = instance.Compiler
  class TagCompiler extends Base {
    override compile(program: Node, options: object): Environment {
      const findings = findingsOf(program)
      if (findings === undefined) {
        const inner = super.compile(program, options)
        const hole = current?.findings.holes.get(program)
        if (hole !== undefined) current?.pending.programs.set(hole, inner)
        return inner
      }
      const found: Pending = { facts: findings.facts, programs: new Map() }
      current = { findings, pending: found }
      try {
        const environment = super.compile(program, options)
        pending.set(environment, found)
        return environment
      } finally {
        current = undefined
      }
    }

    override setupFullMustacheParams(call: Node, ...more: unknown[]): readonly Node[] {
      const { params = [] } = call
      const isTag = current?.findings.names.has(params[1] as Node) === true
      // Another copy of this package may have been here before.
      const isWhole = !isTag || params.at(-1)?.value === END
      const given = isWhole ? call : { ...call, params: [...params, END_NODE] }
      return super.setupFullMustacheParams(given, ...more)
    }

    override StringLiteral(literal: Node): void {
      if (literal.value === END) {
        this.opcode('pushLiteral', `(container.data(data,${END_VARY_ON})||${JSON.stringify(END)})`)
        return
      }
      if (current?.findings.names.has(literal) !== true) {
        super.StringLiteral(literal)
        return
      }
      const name = JSON.stringify(literal.value).replace(UNSAFE, escapeUnit)
      this.opcode('pushLiteral', `(container.data(data,${BEGIN_VARY_ON}),${name})`)
    }
  }
  TagCompiler.prototype.compiler = TagCompiler
  instance.Compiler = TagCompiler

  const BaseJavaScript = instance.JavaScriptCompiler
  class TagJavaScriptCompiler extends BaseJavaScript {
    override compile(
      environment: Environment,
      options: object,
      context?: unknown,
      asObject?: boolean,
    ): unknown {
      const result = super.compile(environment, options, context, asObject)
      const found = pending.get(environment)
      return found === undefined ? result : withFacts(result, factsOf(found))
    }
  }
  // The programs inside are left to Handlebars' own.
  TagJavaScriptCompiler.prototype.compiler = BaseJavaScript.prototype.compiler
  instance.JavaScriptCompiler = TagJavaScriptCompiler
}

function factsOf({ facts, programs }: Pending): TemplateFacts {
  for (const [hole, { index }] of programs) hole.program = index ?? -1
  return facts
}

/** @param compiled - An object, its source, or that with a source map. */
function withFacts(compiled: unknown, facts: TemplateFacts): unknown {
  if (typeof compiled === 'string') return insertFacts(compiled, facts)
  const { code } = compiled as { readonly code?: unknown }
  if (typeof code === 'string') {
    return Object.assign(compiled as object, { code: insertFacts(code, facts) })
  }
  return Object.assign(compiled as object, { [FACTS]: facts })
}

/** At its end, so that no place in a source map is shifted. */
function insertFacts(code: string, facts: TemplateFacts): string {
  const end = code.lastIndexOf('}')
  const json = JSON.stringify(facts).replace(UNSAFE, escapeUnit)
  return `${code.slice(0, end)},${JSON.stringify(FACTS)}:${json}${code.slice(end)}`
}

/** The code may stand in a script element. */
const UNSAFE = /[\u2028\u2029<]/g

function escapeUnit(unit: string): string {
  return `\\u${unit.charCodeAt(0).toString(16).padStart(4, '0')}`
}
