import type { CompilerClass, Instance } from './engine.js'
import { markOf, toLiteral } from './facts.js'
import type { ParsedTemplates } from './parsed.js'
import type { Node } from './syntax.js'
import { BEGIN_VARY_ON, END, END_VARY_ON } from './vary-on-marks.js'

/** The node that is behind a tag's vary-on values. */
const END_NODE: Node = { type: 'StringLiteral', value: END, original: END }

/**
 * Makes an instance's compiler of syntax trees mark each template with what was found in it, and tell
 * where the evaluation of a tag's vary-on values begins and ends. The one that writes JavaScript is left
 * alone: it is Handlebars' documented place for changes.
 */
export function extendCompiler(
  instance: Required<Pick<Instance, 'Compiler'>>,
  found: Pick<ParsedTemplates, 'names' | 'factsOfTree'>,
): void {
  const { names } = found
  const Base = instance.Compiler

  // No class, since those that derive from Handlebars' compilers call them as functions.
  function TagCompiler(this: unknown, ...args: unknown[]): unknown {
    return new.target === undefined
      ? Reflect.apply(Base as unknown as () => unknown, this, args)
      : Reflect.construct(Base, args, new.target)
  }

  const base = Base.prototype
  const prototype = Object.create(base) as typeof base
  TagCompiler.prototype = prototype
  prototype.compiler = TagCompiler as unknown as CompilerClass

  const programs = new WeakSet<Node>()

  prototype.compileProgram = function (program) {
    programs.add(program)
    try {
      return base.compileProgram.call(this, program)
    } finally {
      programs.delete(program)
    }
  }

  prototype.compile = function (tree, options) {
    // Handlebars tells what is no template.
    const isTemplate = (tree as Node | undefined)?.type === 'Program' && !programs.has(tree)
    if (!isTemplate) return base.compile.call(this, tree, options)
    const mark = markOf(found.factsOfTree(tree, options))
    const environment = base.compile.call(this, tree, options)
    // The code alone is the template's own, since options may be shared. This program is never called.
    const number = environment.compileProgram({ type: 'Program', body: [] })
    const marker = environment.children[number]
    marker?.opcodes.push({ opcode: 'pushSource', args: [`return ${mark};`], loc: undefined })
    return environment
  }

  prototype.setupFullMustacheParams = function (call, ...more) {
    const { params = [] } = call
    const isTag = params[1] !== undefined && names.has(params[1])
    // Another copy of this package may have been here before.
    const isWhole = !isTag || params.at(-1)?.value === END
    const given = isWhole ? call : { ...call, params: [...params, END_NODE] }
    return base.setupFullMustacheParams.call(this, given, ...more)
  }

  prototype.StringLiteral = function (literal) {
    if (literal.value === END) {
      this.opcode('pushLiteral', `(container.data(data,${END_VARY_ON})||${JSON.stringify(END)})`)
    } else if (names.has(literal)) {
      const name = toLiteral(literal.value)
      this.opcode('pushLiteral', `(container.data(data,${BEGIN_VARY_ON}),${name})`)
    } else base.StringLiteral.call(this, literal)
  }

  instance.Compiler = TagCompiler as unknown as CompilerClass
}
