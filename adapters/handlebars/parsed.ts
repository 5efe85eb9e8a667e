import { checkCacheTags } from './check.js'
import type { Instance, ParseOptions, TemplateSpec } from './engine.js'
import {
  codeOf,
  FACTS,
  factsIn,
  factsInCode,
  toLiteral,
  withoutMark,
  withPrograms,
  type TemplateFacts,
} from './facts.js'
import { nameOfCompiled } from './instrument.js'
import { explainSyntaxError } from './syntax-error.js'
import type { Node } from './syntax.js'

/**
 * What was found in templates of one instance when they were parsed.
 *
 * The compiler of trees marks the code of each template with it. If another compiler replaced that one, the
 * options remain, which both the parser and the template receive: what was last parsed with them is used.
 */
export class ParsedTemplates {
  /** The names of cache tags with vary-on values, whose evaluation begins there. */
  readonly names = new WeakSet<Node>()
  readonly #instance: Instance
  readonly #byTree = new WeakMap<object, TemplateFacts>()
  readonly #byOptions = new WeakMap<object, TemplateFacts>()

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
    const facts = this.#check(tree, typeof input === 'string' ? input : undefined, options, name)
    if (typeof options === 'object' && options !== null) this.#byOptions.set(options, facts)
    return tree
  }

  /** What was found in a tree, which may come from elsewhere than the parser. */
  factsOfTree(tree: Node, options: ParseOptions): TemplateFacts {
    return this.#check(tree, undefined, options, nameOfCompiled(options.srcName))
  }

  /** A tree may be given again, to be compiled. */
  #check(
    tree: Node,
    source: string | undefined,
    options: ParseOptions = {},
    template: string | undefined,
  ): TemplateFacts {
    let facts = this.#byTree.get(tree)
    if (facts === undefined) {
      facts = checkCacheTags({
        names: this.names,
        tree,
        source,
        options,
        template,
        isTag: (tag) => tag in this.#instance.helpers,
      })
      this.#byTree.set(tree, facts)
    }
    return facts
  }

  /** @returns `undefined`: the template was precompiled without the tag. */
  factsOf(spec: TemplateSpec): TemplateFacts | undefined {
    const known = factsIn(spec)
    if (known !== undefined) return known
    const facts = spec.compilerOptions && this.#byOptions.get(spec.compilerOptions)
    return facts && withPrograms(facts, codeOf(spec))
  }

  /**
   * Puts into a precompiled template what was found in it.
   *
   * @param precompile - Handlebars' own way: it gives a source, or that with a source map.
   */
  precompile(options: unknown, precompile: (options: object) => unknown): unknown {
    const given = options || {}
    const compiled = precompile(given)
    const insert = (code: string): string => insertFacts(code, this.#byOptions.get(given))
    if (typeof compiled === 'string') return insert(compiled)
    const { code } = Object(compiled) as { readonly code?: unknown }
    if (typeof code !== 'string') return compiled
    return Object.assign(compiled as object, { code: insert(code) })
  }
}

/**
 * Puts facts into a precompiled template, where they survive that its code is made smaller. They come at
 * its end, so that no place in a source map is shifted.
 *
 * @param parsed - Those of what was parsed, where the code has no mark.
 */
function insertFacts(code: string, parsed: TemplateFacts | undefined): string {
  const facts = factsInCode(code) ?? (parsed && withPrograms(parsed, code))
  if (facts === undefined) return code
  const bare = withoutMark(code)
  const end = bare.lastIndexOf('}')
  return `${bare.slice(0, end)},${JSON.stringify(FACTS)}:${toLiteral(facts)}${bare.slice(end)}`
}
