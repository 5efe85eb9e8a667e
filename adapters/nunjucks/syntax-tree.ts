import type { TagPosition } from '../../src/errors.js'
import type { Node, NodeClass, Nodes } from './engine.js'
import { nunjucksFaults } from './faults.js'

/** All classes have one type here, so that `instanceof` would narrow what is left to `never`. */
export const isA = (node: unknown, type: NodeClass): boolean => node instanceof type

/** The parts of a node. A set block keeps its body outside its fields, where the engine's own walk misses it. */
function fieldsOf(node: Node, nodes: Nodes): readonly string[] {
  // A filter's name is a symbol and no variable, as is a pair's key.
  if (isA(node, nodes.Filter)) return ['args']
  if (isA(node, nodes.Pair)) return ['value']
  return isA(node, nodes.Set) ? [...node.fields, 'body'] : node.fields
}

/** Replaces each child with what `change` returns. */
function changeChildren(node: Node, nodes: Nodes, change: (child: Node) => Node): void {
  const fields = node as unknown as Record<string, unknown>
  for (const field of fieldsOf(node, nodes)) {
    const value = fields[field]
    if (value instanceof nodes.Node) fields[field] = change(value)
    else if (Array.isArray(value)) {
      value.forEach((child: unknown, i) => {
        if (child instanceof nodes.Node) value[i] = change(child)
      })
    }
  }
}

/** The children of a node, in the order in which they are. */
export function partsOf(node: Node, nodes: Nodes): Node[] {
  const parts: Node[] = []
  changeChildren(node, nodes, (child) => {
    parts.push(child)
    return child
  })
  return parts
}

/** @param visit - Tells whether to go on to the children. */
export function walk(node: Node, nodes: Nodes, visit: (node: Node) => boolean): void {
  if (!visit(node)) return
  changeChildren(node, nodes, (child) => {
    walk(child, nodes, visit)
    return child
  })
}

/** The name of the macro that holds a tag's body. */
export const BODY = '_fragcache body'

/** The nodes that represent the `super()` of a tag's body. */
const superCalls = new WeakSet<Node>()

/** Whether this has none of the variables around it. */
export function isApart(node: Node, nodes: Nodes): boolean {
  if (isA(node, nodes.Block)) return true
  if (!isA(node, nodes.Macro) || isA(node, nodes.Caller)) return false
  return (node['name'] as Node)['value'] !== BODY
}

/** Whether one node is another or inside it. */
export function isInside(node: Node, outer: Node, nodes: Nodes): boolean {
  let found = false
  walk(outer, nodes, (inner) => {
    found ||= inner === node
    return !found
  })
  return found
}

export function isCallOf(node: Node, name: string, nodes: Nodes): boolean {
  if (!isA(node, nodes.FunCall) || isA(node, nodes.Filter)) return false
  const called = node['name']
  return isA(called, nodes.Symbol) && (called as Node)['value'] === name
}

export const filterName = (filter: Node): string => (filter['name'] as Node)['value'] as string

export const isAsyncFilter = (node: Node, nodes: Nodes, asyncFilters: readonly string[]): boolean =>
  isA(node, nodes.Filter) && asyncFilters.includes(filterName(node))

/** @throws CacheTagError: something in the body cannot be cached. */
export function checkTagBody(
  body: Node,
  nodes: Nodes,
  asyncFilters: readonly string[],
  position: TagPosition,
): void {
  walk(body, nodes, (node) => {
    if (isA(node, nodes.Extends)) throw nunjucksFaults.extendsInside(position)
    if (isA(node, nodes.CallExtensionAsync)) throw nunjucksFaults.asynchronousTag(position)
    if (isAsyncFilter(node, nodes, asyncFilters)) {
      throw nunjucksFaults.asynchronousFilter(filterName(node), position)
    }
    return true
  })
}

/** Whether this is `super()`, also one that a cache tag inside has replaced. */
export function isSuperCall(node: Node, nodes: Nodes): boolean {
  return superCalls.has(node) || isCallOf(node, 'super', nodes)
}

/**
 * Replaces every `super()` that means the block around the body.
 *
 * @returns Whether there is one, also in the body of a tag inside, whose own are replaced already.
 */
export function replaceSuper(body: Node, nodes: Nodes, replacement: () => Node): boolean {
  let found = false
  const change = (node: Node): Node => {
    if (isApart(node, nodes)) return node
    if (superCalls.has(node)) found = true
    if (!isCallOf(node, 'super', nodes)) {
      changeChildren(node, nodes, change)
      return node
    }
    found = true
    const call = replacement()
    superCalls.add(call)
    return call
  }
  changeChildren(body, nodes, change)
  return found
}

/**
 * Takes the asynchronous filters out of an expression, as the engine does where it knows how.
 *
 * @param nameResult - Makes a name for a result.
 * @returns What has to run first, and the expression that uses its results.
 */
export function liftAsyncFilters(
  expression: Node,
  nodes: Nodes,
  asyncFilters: readonly string[],
  nameResult: () => string,
): { readonly first: readonly Node[]; readonly expression: Node } {
  const first: Node[] = []
  const lift = (node: Node): Node => {
    changeChildren(node, nodes, lift)
    if (!isAsyncFilter(node, nodes, asyncFilters)) return node
    const { lineno, colno } = node
    const result = new nodes.Symbol(lineno, colno, nameResult())
    first.push(new nodes.FilterAsync(lineno, colno, node['name'], node['args'], result))
    return result
  }
  return { expression: lift(expression), first }
}
