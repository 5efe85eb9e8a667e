import { checkTags } from './check.js'
import type { Instance, ParseOptions, TemplateSpec } from './engine.js'
import { FACTS, toLiteral, withPrograms, type TemplateFacts } from './facts.js'
import { nameOfCompiled } from './instrument.js'
import { explainSyntaxError } from './syntax-error.js'
import type { Node } from './syntax.js'

/**
 * What was found in templates of one instance when they were parsed.
 *
 * It reaches the compiled template by the options that both the parser and the template are given, and
 * by nothing in between, since Handlebars' compilers may be derived from, patched and replaced.
 */
export class ParsedTemplates {
  /** The names of cache tags with vary-on values, whose evaluation begins there. */
  readonly names = new WeakSet<Node>()
  readonly #instance: Instance
  readonly #byTree = new WeakMap<object, TemplateFacts>()
  readonly #byOptions = new WeakMap<object, TemplateFacts>()
  #isPrecompiling = false

  constructor(instance: Instance) {
    this.#instance = instance
  }

  /** @param parse - Handlebars' own way. */
  parse(
    input: unknown,
    options: ParseOptions | undefined,
    parse: (options: ParseOptions | undefined) => unknown,
  ): Node {
    const name = nameOfCompiled(options?.srcName)
    let tree: Node
    try {
      tree = parse(name === undefined ? options : { ...options, srcName: name }) as Node
    } catch (error) {
      const { message } = error as Error
      throw explainSyntaxError(message, String(input), name) ?? error
    }
    // A tree may be given again, to be compiled.
    let facts = this.#byTree.get(tree)
    if (facts === undefined) {
      const source = typeof input === 'string' ? input : undefined
      facts = checkTags({
        names: this.names,
        tree,
        source,
        options: options ?? {},
        template: name,
        isTag: (tag) => tag in this.#instance.helpers,
        isHelper: (helper) => this.#isHelper(helper),
      })
      this.#byTree.set(tree, facts)
    }
    if (typeof options === 'object' && options !== null) this.#byOptions.set(options, facts)
    return tree
  }

  /** What was found in a template that was compiled in this process. */
  factsOf(spec: TemplateSpec): TemplateFacts | undefined {
    const { compilerOptions } = spec
    const facts = compilerOptions && this.#byOptions.get(compilerOptions)
    if (facts === undefined || Object.keys(facts.holes).length === 0) return facts
    return withPrograms(facts, Object.values(spec).filter(isFunction).join('\n'))
  }

  /**
   * Puts into a precompiled template what was found in it.
   *
   * @param precompile - Handlebars' own way: it gives a source, or that with a source map.
   */
  precompile(options: unknown, precompile: (options: object) => unknown): unknown {
    const given = options || {}
    const outer = this.#isPrecompiling
    this.#isPrecompiling = true
    let compiled: unknown
    try {
      compiled = precompile(given)
    } finally {
      this.#isPrecompiling = outer
    }
    const facts = this.#byOptions.get(given)
    if (facts === undefined) return compiled
    if (typeof compiled === 'string') return insertFacts(compiled, facts)
    const { code } = Object(compiled) as { readonly code?: unknown }
    if (typeof code !== 'string') return compiled
    return Object.assign(compiled as object, { code: insertFacts(code, facts) })
  }

  /** The program that precompiles need not have the helpers of the one that renders. */
  #isHelper(name: string): boolean | undefined {
    const isKnown = typeof this.#instance.helpers[name] === 'function'
    return isKnown || (this.#isPrecompiling ? undefined : false)
  }
}

function isFunction(value: unknown): boolean {
  return typeof value === 'function'
}

/** At its end, so that no place in a source map is shifted. */
function insertFacts(code: string, facts: TemplateFacts): string {
  const end = code.lastIndexOf('}')
  const literal = toLiteral(withPrograms(facts, code))
  return `${code.slice(0, end)},${JSON.stringify(FACTS)}:${literal}${code.slice(end)}`
}
