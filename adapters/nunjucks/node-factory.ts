import type { Node, Nodes, Token } from './engine.js'
import { markProbe } from './names.js'

/** What the compiler can make a parameter of. */
const IDENTIFIER_PART = /^[\p{ID_Continue}$]+$/u

/** Makes the nodes of one tag. */
export class NodeFactory {
  constructor(
    readonly nodes: Nodes,
    readonly tag: Token,
  ) {}

  /** Code that the engine's compiler puts out as it is. */
  code(code: string | (() => string)): Node {
    return this.make(this.nodes.Literal, verbatim(code))
  }

  /** Puts out a JavaScript expression as it is. */
  output(expression: string): Node {
    return this.make(this.nodes.Output, [this.make(this.nodes.TemplateData, verbatim(expression))])
  }

  list(children: readonly Node[]): Node {
    return this.make(this.nodes.NodeList, children)
  }

  symbol(name: unknown): Node {
    return this.make(this.nodes.Symbol, name)
  }

  make(
    type: new (lineno: number, colno: number, ...fields: readonly unknown[]) => Node,
    ...fields: readonly unknown[]
  ): Node {
    return new type(this.tag.lineno, this.tag.colno, ...fields)
  }

  /**
   * Keeps a variable of the tag's place.
   *
   * The engine's compiler holds some variables in JavaScript's (loop variables, arguments, macros,
   * imports) and looks the others up while it renders. Only the former are kept.
   *
   * @param index - Under which it is kept.
   * @returns Code that hands the variable to `use.keep`, and whether there was one, to be asked once
   *   that code is compiled.
   */
  keep(name: string, index: number): { readonly pieces: Node[]; readonly isHeld: () => boolean } {
    let isHeld = false
    const isIdentifier = IDENTIFIER_PART.test(name)
    const found = this.#probe(name, () => (isHeld = false))
    const pieces = [
      // A name may be held in a scope that is closed by now, or not open yet.
      this.code(() => {
        isHeld = isIdentifier
        return `try { use.keep(${index}, `
      }),
      found,
      this.code(`, ${JSON.stringify(name)}); } catch (e) {}\n`),
    ]
    return { pieces, isHeld: () => isHeld }
  }

  /**
   * A variable for which the compiler is watched: it uses the name as a key in its scopes and, for a
   * variable it does not hold, in code.
   */
  #probe(name: string, looksUp: () => void): Node {
    const probe = {
      [Symbol.toPrimitive](hint: string) {
        if (hint === 'default') looksUp()
        return name
      },
    }
    return markProbe(this.symbol(probe))
  }
}

function verbatim(code: string | (() => string)): { toString(): string } {
  return { toString: typeof code === 'string' ? () => code : code }
}
