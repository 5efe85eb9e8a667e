import { hash } from 'node:crypto'
import type { TagPosition } from '../../src/errors.js'
import type { Node, Nodes, Parser, Token } from './engine.js'
import { nunjucksFaults } from './faults.js'
import { traceNames } from './names.js'
import { NodeFactory } from './node-factory.js'
import { EXTENSION, type ParseSettings } from './parse-settings.js'
import { checkBody, isA, isSuperCall, walk } from './syntax-tree.js'
import { parseBody } from './tag-body.js'
import { readRest } from './tag-source.js'

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
  /** The variables of its surroundings that it reads. */
  readonly reads: readonly string[]
  /** It includes something that sees all variables. */
  readonly includes?: true
  /** It calls something that sees the context. */
  readonly calls?: true
}

/** The holes of the templates that are being compiled, by their place. */
const holes = new WeakMap<Node, HoleRecord>()

/** The blocks of the holes that a parser has read. */
const blocksOf = new WeakMap<Parser, Node[]>()

/** Tokens for the end of a template with holes. */
const ends = new WeakSet<Token>()

/** Whether a tag is the one that {@link parseHole} has put at the end of the template. */
export function isEndOfHoles(tag: Token): boolean {
  return ends.has(tag)
}

/**
 * What stands at the end of a template with holes: their blocks. The engine looks for blocks in most of
 * a template, but neither in set blocks nor in switches.
 */
export function parseEndOfHoles(parser: Parser, nodes: Nodes, tag: Token): Node {
  const end = new NodeFactory(nodes, tag).list([])
  end.findAll = (type, results = []) => {
    for (const block of blocksOf.get(parser) ?? []) {
      if (block instanceof (type as typeof nodes.Node)) results.push(block)
    }
    return results
  }
  return end
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

/** What a nocache block whose place this is reads of the variables around it. */
export function holeReads(node: Node): readonly string[] | undefined {
  return holes.get(node)?.reads
}

/**
 * Reads a nocache tag, its body and its end.
 *
 * The body becomes a block of its own, which can be rendered by itself: the engine's compiler makes a
 * function of each block that it finds, and templates compiled beforehand keep them.
 *
 * @returns Statements that call the extension's `hole` with that function.
 * @throws CacheTagError: the tag is written wrongly, or its body cannot be rendered by itself.
 */
export function parseHole(
  parser: Parser,
  nodes: Nodes,
  tag: Token,
  { asyncFilters, template }: ParseSettings,
): Node {
  const position = { template, line: tag.lineno + 1 }
  const begin = parser.tokens.index
  const rest = readRest(parser.tokens, position)
  if (rest !== '') throw nunjucksFaults.holeArguments('nocache', rest, position)
  parser.advanceAfterBlockEnd('nocache')
  const { body, end } = parseBody(parser, 'nocache', position)
  const source = parser.tokens.str.slice(begin, parser.tokens.index)
  const endRest = readRest(parser.tokens, position)
  if (endRest !== '') {
    const line = end.lineno + 1
    throw nunjucksFaults.holeArguments('endnocache', endRest, { ...position, line })
  }
  parser.advanceAfterBlockEnd('endnocache')
  checkBody(body, nodes, asyncFilters, position)
  checkHole(body, nodes, position)
  const blocks = blocksOf.get(parser) ?? []
  if (blocks.length === 0) {
    blocksOf.set(parser, blocks)
    addEnd(parser)
  }
  const record: HoleRecord = {
    id: `${blocks.length}_${hash('sha256', source).slice(0, 12)}`,
    line: tag.lineno + 1,
    ...(template === undefined ? undefined : { template }),
    ...readHole(body, nodes),
  }
  const make = new NodeFactory(nodes, tag)
  const told = make.code(`if (env === null) return cb(null, ${JSON.stringify(record)});\n`)
  const name = make.symbol(`${HOLE_BLOCK}${record.id}`)
  blocks.push(make.make(nodes.Block, name, make.list([told, body])))
  return compileHole(make, record)
}

/** @throws CacheTagError: the body needs what is not there when it is rendered by itself. */
function checkHole(body: Node, nodes: Nodes, position: TagPosition): void {
  walk(body, nodes, (node) => {
    if (isA(node, nodes.Block)) throw nunjucksFaults.blockInHole(position)
    if (isSuperCall(node, nodes)) throw nunjucksFaults.superInHole(position)
    return true
  })
}

function readHole(body: Node, nodes: Nodes): Pick<HoleRecord, 'reads' | 'includes' | 'calls'> {
  const reads = new Set<string>()
  let includes = false
  let calls = false
  traceNames(body, nodes, true, {
    reads: (name, made) => {
      if (!made.has(name)) reads.add(name)
    },
    hole: (node) => {
      const inner = holes.get(node)
      includes ||= inner?.includes === true
      calls ||= inner?.calls === true
      return inner?.reads
    },
    includes: () => (includes = true),
    calls: () => (calls = true),
  })
  return {
    reads: [...reads],
    ...(includes ? { includes } : {}),
    ...(calls ? { calls } : {}),
  }
}

function compileHole(make: NodeFactory, record: HoleRecord): Node {
  const place = make.code('')
  holes.set(place, record)
  return make.list([
    place,
    make.code(
      `var ${TEXT} = env.getExtension("${EXTENSION}").hole(b_${HOLE_BLOCK}${record.id}, context, frame, runtime, root, ` +
        'frame.topLevel && parentTemplate, function (use, runtime) {\n',
    ),
    ...record.reads.flatMap((one, i) => make.keep(one, i).pieces),
    make.code('});\n'),
    make.output(TEXT),
  ])
}

/**
 * Refuses what the holes of a cache tag's body use of the variables that are made there: on a hit they
 * are not.
 *
 * @throws CacheTagError
 */
export function checkHoles(body: Node, nodes: Nodes, fragment: TagPosition): void {
  if (!hasHole(body, nodes)) return
  traceNames(body, nodes, false, {
    hole: (node, made) => {
      const hole = holes.get(node)
      if (hole === undefined) return undefined
      const own = hole.reads.find((name) => made.has(name) || name === 'caller')
      if (own === undefined) return []
      const { template, line } = hole
      throw nunjucksFaults.holeUses(own, { ...fragment, template, line })
    },
  })
}

/** Whether there is a nocache block in a part of a template. */
export function hasHole(part: Node, nodes: Nodes): boolean {
  let found = false
  walk(part, nodes, (node) => {
    found ||= holes.has(node)
    return !found
  })
  return found
}
