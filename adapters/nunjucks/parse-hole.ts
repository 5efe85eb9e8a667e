import { hash } from 'node:crypto'
import type { TagPosition } from '../../src/errors.js'
import { holeFaults } from '../../src/fragment/named-values.js'
import { isDroppedAt } from './dropped.js'
import type { Lexer, Node, Nodes, Parser, Token } from './engine.js'
import { nunjucksFaults } from './faults.js'
import { traceNames } from './names.js'
import { NodeFactory } from './node-factory.js'
import { EXTENSION, type ParseSettings } from './parse-settings.js'
import { checkTagBody, isA, isSuperCall, walk } from './syntax-tree.js'
import { parseBody } from './tag-body.js'
import { lexLike, readNamedValues, readRest } from './tag-source.js'

/** What the names of holes' functions begin with. */
export const HOLE_BLOCK = 'fragcache_hole_'

/** A name in compiled code that no template's variable has. */
const TEXT = 'fragcache_hole_text'

/** What a compiled template says of a hole. */
export interface HoleRecord {
  /** Another one for another source. */
  readonly id: string
  readonly line: number
  /** Left out: it was compiled without a name. */
  readonly template?: string
}

/** A hole that was read, by the node that stands for it. */
interface ReadHole {
  readonly position: TagPosition
  readonly body: Node
  readonly names: ReadonlyMap<string, Node>
  /** Code for whether what the hole puts out is dropped. */
  readonly isDropped: string
}

const holes = new WeakMap<Node, ReadHole>()

/** The blocks of the holes that a parser has read. */
const blocksOf = new WeakMap<Parser, Node[]>()

/** Parsers that read a template once more, as a whole. */
const readers = new WeakSet<Parser>()

/** Tokens for the end of a template with holes. */
const ends = new WeakSet<Token>()

/** Whether a tag is the one that {@link parseHole} has put at the end of the template. */
export function isEndOfHoles(tag: Token): boolean {
  return ends.has(tag)
}

/**
 * The code at the end of a template with holes: their blocks. The engine looks for blocks in most of a
 * template, but neither in set blocks nor in switches.
 *
 * @throws CacheTagError: a hole uses a name that is made in its template.
 */
export function parseEndOfHoles(parser: Parser, nodes: Nodes, lexer: Lexer, tag: Token): Node {
  checkNames(readAgain(parser, lexer), nodes)
  const end = new NodeFactory(nodes, tag).list([])
  end.findAll = (type, results = []) => {
    for (const block of blocksOf.get(parser) ?? []) {
      if (block instanceof (type as typeof nodes.Node)) results.push(block)
    }
    return results
  }
  return end
}

/** Reads a whole template: only so does a tag know what is around it. */
function readAgain({ tokens, extensions, constructor }: Parser, lexer: Lexer): Node {
  const reader = new constructor(lexLike(tokens, tokens.str, lexer))
  reader.extensions = extensions
  readers.add(reader)
  return reader.parseAsRoot()
}

/** @throws CacheTagError: a hole in a template uses a name that is made there. */
function checkNames(root: Node, nodes: Nodes): void {
  traceNames(root, nodes, false, {
    meets(node, made, walk) {
      const hole = holes.get(node)
      if (hole === undefined) return
      const { body, names, position } = hole
      traceNames(body, nodes, true, {
        reads(name, own) {
          if (!made.has(name) || own.has(name) || names.has(name)) return
          const named = name === 'loop' ? 'index=loop.index' : `${name}=${name}`
          throw holeFaults.ownName(name, `{% nocache ${named} %}`, position)
        },
      })
      walk(body, new Set([...made, ...names.keys()]))
    },
  })
}

/** Gives a parser one more tag at the end of its template. */
function addEnd({ tokens }: Parser): void {
  const next = tokens.nextToken.bind(tokens)
  const added: Token[] = [
    { type: 'block-start', value: '', lineno: 0, colno: 0 },
    { type: 'symbol', value: 'nocache', lineno: 0, colno: 0 },
  ]
  for (const token of added) ends.add(token)
  tokens.nextToken = () => next() ?? (tokens.in_code ? undefined : added.shift()) ?? null
}

/**
 * Reads a nocache tag, its body and its end.
 *
 * The body becomes a block of its own, which can be rendered by itself: the engine's compiler makes a
 * function of each block that it finds, and templates compiled beforehand keep them.
 *
 * @returns Statements that call the extension's `hole` with that function and the named values.
 * @throws CacheTagError: the tag is written wrongly, or its body cannot be rendered by itself.
 */
export function parseHole(
  parser: Parser,
  nodes: Nodes,
  lexer: Lexer,
  tag: Token,
  { asyncFilters, template }: ParseSettings,
): Node {
  const position = { template, line: tag.lineno + 1 }
  const isDropped = isDroppedAt(parser.tokens, lexer)
  const begin = parser.tokens.index
  const names = readNamedValues(parser, lexer, position)
  parser.advanceAfterBlockEnd('nocache')
  const { body, end } = parseBody(parser, 'nocache', position)
  const source = parser.tokens.str.slice(begin, parser.tokens.index)
  const endRest = readRest(parser.tokens, position)
  if (endRest !== '') {
    throw nunjucksFaults.endArguments(endRest, { ...position, line: end.lineno + 1 })
  }
  parser.advanceAfterBlockEnd('endnocache')
  for (const part of [body, ...names.values()]) checkTagBody(part, nodes, asyncFilters, position)
  checkHole(body, nodes, position)
  const blocks = blocksOf.get(parser) ?? []
  if (blocks.length === 0) {
    blocksOf.set(parser, blocks)
    if (!readers.has(parser)) addEnd(parser)
  }
  const record: HoleRecord = {
    id: `${blocks.length}_${hash('sha256', source).slice(0, 12)}`,
    line: tag.lineno + 1,
    ...(template === undefined ? undefined : { template }),
  }
  const make = new NodeFactory(nodes, tag)
  const told = make.code(`if (env === null) return cb(null, ${JSON.stringify(record)});\n`)
  const name = make.symbol(`${HOLE_BLOCK}${record.id}`)
  blocks.push(make.make(nodes.Block, name, make.list([told, body])))
  return compileHole(make, record, { position, body, names, isDropped })
}

/** @throws CacheTagError: the body needs what is not there when it is rendered by itself. */
function checkHole(body: Node, nodes: Nodes, position: TagPosition): void {
  walk(body, nodes, (node) => {
    if (isA(node, nodes.Block)) throw nunjucksFaults.blockInHole(position)
    if (isSuperCall(node, nodes)) throw nunjucksFaults.superInHole(position)
    return true
  })
}

function compileHole(make: NodeFactory, record: HoleRecord, hole: ReadHole): Node {
  const place = make.code('')
  holes.set(place, hole)
  return make.list([
    place,
    make.code(
      `var ${TEXT} = env.getExtension("${EXTENSION}").hole(b_${HOLE_BLOCK}${record.id}, context, runtime, root, ` +
        `${hole.isDropped}, function () {\nreturn {`,
    ),
    ...Array.from(hole.names).flatMap(([name, value]) => [
      make.code(`["${name}"]: `),
      value,
      make.code(', '),
    ]),
    make.code('};\n});\n'),
    make.output(TEXT),
  ])
}
