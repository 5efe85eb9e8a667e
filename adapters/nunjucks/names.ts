import type { Node, NodeList, Nodes } from './engine.js'
import { BODY, isA, partsOf } from './syntax-tree.js'

/** What is met on the way through a part of a template, in the order of rendering. */
export interface NameVisitor {
  /**
   * A variable is read.
   *
   * @param symbol - Where it is named.
   */
  reads?(name: string, made: ReadonlySet<string>, symbol: Node): void
  /**
   * Another node is met.
   *
   * @param walk - Goes through a part that is elsewhere in the tree, as if it were here.
   */
  meets?(node: Node, made: ReadonlySet<string>, walk: (part: Node, made: Set<string>) => void): void
  /** Something is included or imported that sees all variables here. */
  includes?(): void
}

/** Symbols that ask the compiler for a variable, rather than read it. */
const probes = new WeakSet<Node>()

export function markProbe(node: Node): Node {
  probes.add(node)
  return node
}

/**
 * Goes through a part of a template and tells of each variable that is read which ones are made by
 * then.
 *
 * @param surely - Whether only what is made in any case counts as made; otherwise what may be.
 */
export function traceNames(part: Node, nodes: Nodes, surely: boolean, visitor: NameVisitor): void {
  new NameTracer(nodes, surely, visitor).walk(part, new Set())
}

class NameTracer {
  readonly #nodes: Nodes
  readonly #surely: boolean
  readonly #visitor: NameVisitor
  /** Macros and imports: unlike what is set, macros see them too. */
  readonly #shared = new Set<string>()

  constructor(nodes: Nodes, surely: boolean, visitor: NameVisitor) {
    this.#nodes = nodes
    this.#surely = surely
    this.#visitor = visitor
  }

  /** @param made - Grows by what this makes for what follows. */
  walk(node: Node, made: Set<string>): void {
    const nodes = this.#nodes
    if (isA(node, nodes.Symbol)) {
      if (!probes.has(node)) this.#visitor.reads?.(nameOf(node), made, node)
    } else if (isA(node, nodes.Set)) this.#set(node, made)
    else if (isA(node, nodes.For)) this.#loop(node, made)
    else if (isA(node, nodes.Macro)) this.#macro(node, made)
    else if (isA(node, nodes.If)) {
      this.walk(node['cond'] as Node, made)
      this.#branches([[node['body']], [node['else_']]], made)
    } else if (isA(node, nodes.Switch)) {
      this.walk(node['expr'] as Node, made)
      const cases = (node['cases'] as Node[]).map((one) => [one['cond'], one['body']])
      this.#branches([...cases, [node['default']]], made)
    } else if (isA(node, nodes.Import) || isA(node, nodes.FromImport)) this.#import(node, made)
    else if (isA(node, nodes.Block)) this.walk(node['body'] as Node, new Set(made))
    else if (isA(node, nodes.Is)) this.#test(node, made)
    else {
      if (isA(node, nodes.Include)) this.#visitor.includes?.()
      this.#visitor.meets?.(node, made, (part, inside) => this.walk(part, inside))
      for (const child of partsOf(node, nodes)) this.walk(child, made)
    }
  }

  #set(node: Node, made: Set<string>): void {
    for (const part of ['value', 'body']) {
      const child = node[part]
      if (child instanceof this.#nodes.Node) this.walk(child, made)
    }
    for (const target of node['targets'] as Node[]) made.add(nameOf(target))
  }

  #loop(node: Node, made: Set<string>): void {
    this.walk(node['arr'] as Node, made)
    const inside = new Set(made)
    inside.add('loop')
    const name = node['name'] as Node
    const names = isA(name, this.#nodes.Symbol) ? [name] : (name as NodeList).children
    for (const one of names) inside.add(nameOf(one))
    if (!this.#surely) {
      // What one turn sets the next one sees.
      const silent = new NameTracer(this.#nodes, false, {})
      silent.walk(node['body'] as Node, inside)
    }
    this.walk(node['body'] as Node, inside)
    if (!this.#surely) for (const one of inside) if (!isNameOf(one, names)) made.add(one)
    this.#branches([[node['else_']]], made)
  }

  #macro(node: Node, made: Set<string>): void {
    const isCaller = isA(node, this.#nodes.Caller)
    const name = isCaller ? undefined : nameOf(node['name'] as Node)
    const body = node['body'] as Node
    if (name === BODY) {
      // What a cache tag's body sets stays inside.
      this.walk(body, new Set(made))
      return
    }
    if (name !== undefined) {
      made.add(name)
      this.#shared.add(name)
    }
    // A macro sees nothing that is set around it, but where it is not known what is, it may.
    const inside = new Set(isCaller || !this.#surely ? made : this.#shared)
    if (!isCaller) inside.add('caller')
    for (const argument of (node['args'] as NodeList).children) {
      if (isA(argument, this.#nodes.Symbol)) inside.add(nameOf(argument))
      else for (const pair of (argument as NodeList).children) this.#default(pair, inside)
    }
    this.walk(body, inside)
  }

  #default(pair: Node, inside: Set<string>): void {
    this.walk(pair['value'] as Node, inside)
    inside.add(nameOf(pair['key'] as Node))
  }

  /** @param branches - Of which one is rendered: the parts of each. */
  #branches(branches: readonly (readonly unknown[])[], made: Set<string>): void {
    const ends = branches.map((branch) => {
      const end = new Set(made)
      for (const part of branch) if (part instanceof this.#nodes.Node) this.walk(part, end)
      return end
    })
    if (this.#surely) return
    for (const end of ends) for (const name of end) made.add(name)
  }

  #import(node: Node, made: Set<string>): void {
    this.walk(node['template'] as Node, made)
    if (node['withContext'] === true) this.#visitor.includes?.()
    const targets = isA(node, this.#nodes.Import)
      ? [node['target'] as Node]
      : (node['names'] as NodeList).children.map((one) =>
          isA(one, this.#nodes.Pair) ? (one['value'] as Node) : one,
        )
    for (const target of targets) {
      made.add(nameOf(target))
      this.#shared.add(nameOf(target))
    }
  }

  /** A test's name is no variable. */
  #test(node: Node, made: Set<string>): void {
    this.walk(node['left'] as Node, made)
    const test = node['right'] as Node
    if (isA(test, this.#nodes.FunCall)) this.walk(test['args'] as Node, made)
  }
}

const nameOf = (symbol: Node): string => String(symbol['value'])

const isNameOf = (name: string, symbols: readonly Node[]): boolean =>
  name === 'loop' || symbols.some((symbol) => nameOf(symbol) === name)
