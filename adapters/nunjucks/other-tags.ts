import type { Engine, Extension, Lexer, Node, Nodes, Parser } from './engine.js'
import { EXTENSION } from './parse-settings.js'
import { isA, walk } from './syntax-tree.js'

/** By this compiled code says, where it asks for an extension, that it will give it a continuation. */
export const ASYNCHRONOUS = 'asynchronous'

const MARK = `", "${ASYNCHRONOUS}`

function otherExtensions(engine: Engine): readonly Extension[] {
  return engine.extensionsList.filter((one) => one !== engine.extensions[EXTENSION])
}

/** Whether there are tags of others, which may be asynchronous. */
export function hasOtherExtensions(engine: Engine): boolean {
  return engine.extensionsList.length > 1
}

/** The tags of other extensions, which may be added and removed at any time. */
export function otherTags(engine: Engine): readonly string[] {
  return otherExtensions(engine).flatMap(({ tags }) => tags ?? [])
}

/**
 * Reads a tag of another extension by that extension, and marks its asynchronous calls.
 *
 * Once compiled, they differ from synchronous ones by nothing but their last argument, and that is a
 * function there too if the template gives one.
 */
export function parseOtherTag(engine: Engine, parser: Parser, nodes: Nodes, lexer: Lexer): Node {
  const tag = parser.peekToken()?.value ?? ''
  const extension = otherExtensions(engine).find(({ tags }) => tags?.includes(tag)) as Extension
  const node = extension.parse(parser, nodes, lexer)
  // Without a node the engine ends the template.
  if (isA(node, nodes.Node)) markAsynchronous(node, nodes)
  return node
}

/**
 * Of a node the compiler makes `env.getExtension("NAME")["METHOD"](…)`, where only the two names survive
 * the engine's own changes to the syntax tree. An environment without the cache ignores what follows
 * the name.
 */
function markAsynchronous(part: Node, nodes: Nodes): void {
  walk(part, nodes, (node) => {
    if (isA(node, nodes.CallExtensionAsync)) {
      const call = node as unknown as { extName: unknown }
      const name = String(call.extName)
      // A tag inside another one's body is marked already.
      if (!name.endsWith(MARK)) call.extName = name + MARK
    }
    return true
  })
}
