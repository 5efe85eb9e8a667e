import type { Node, NodeList, Nodes } from './engine.js'
import { traceNames } from './names.js'
import { isA, isApart, isCallOf, isSuperCall, walk } from './syntax-tree.js'

/** How a body uses the `caller` of the macro around it. */
export type CallerUse =
  | 'none'
  /** Only as `caller()`. */
  | 'plain'
  /** With arguments, as a value, or perhaps by what it includes or by a block. */
  | 'free'

/** What the tag has to know about its body. */
export interface BodyTraits {
  /** Every variable the body names. */
  readonly variables: ReadonlySet<string>
  readonly callerUse: CallerUse
}

export function readBody(body: Node, nodes: Nodes): BodyTraits {
  const variables = new Set<string>()
  /** The names of calls without arguments. */
  const plain = new Set<Node>()
  let rendersBlock = false
  walk(body, nodes, (node) => {
    rendersBlock ||= isA(node, nodes.Block) || isSuperCall(node, nodes)
    if (isApart(node, nodes)) return false
    if (isCallOf(node, 'caller', nodes) && (node['args'] as NodeList).children.length === 0) {
      plain.add(node['name'] as Node)
    } else if (isA(node, nodes.Symbol) && !plain.has(node)) variables.add(String(node['value']))
    return true
  })
  let callerUse: CallerUse = 'none'
  traceNames(body, nodes, true, {
    reads(name, made, symbol) {
      // A macro inside has a caller of its own.
      if (name !== 'caller' || made.has(name)) return
      if (!plain.has(symbol)) callerUse = 'free'
      else if (callerUse === 'none') callerUse = 'plain'
    },
    // These see the frame of the macro around.
    includes: () => (callerUse = 'free'),
  })
  // Another template may fill the block.
  return { variables, callerUse: rendersBlock ? 'free' : callerUse }
}
