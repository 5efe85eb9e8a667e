import { hash } from 'node:crypto'
import type { ArgumentSource } from '../../src/fragment/arguments.js'
import type { TagPosition } from '../../src/errors.js'
import { namesIn } from '../../src/fragment/expression-names.js'
import { isDroppedAt } from './dropped.js'
import type { Lexer, Node, NodeList, Nodes, Parser, Token } from './engine.js'
import { NodeFactory } from './node-factory.js'
import { isEndOfHoles, parseEndOfHoles, parseHole } from './parse-hole.js'
import { EXTENSION, type ParseSettings } from './parse-settings.js'
import { BODY, checkTagBody, isInside, liftAsyncFilters, replaceSuper } from './syntax-tree.js'
import { readBody } from './read-body.js'
import { parseBody, strayEnd } from './tag-body.js'
import { readEnd, TagSource } from './tag-source.js'
import type { TagRecord } from './tag.js'

/** Names in compiled code that no template's variable has. */
const TEXT = 'fragcache_text'
const TAG = 'fragcache_tag'
const INPUTS = 'fragcache_inputs'
const VALUE = 'fragcache_value'

let results = 0

/**
 * Reads a tag, its body and its end.
 *
 * @throws CacheTagError: the tag is written wrongly.
 */
export function parseTag(
  parser: Parser,
  nodes: Nodes,
  lexer: Lexer,
  settings: ParseSettings,
): Node {
  const tag = parser.nextToken() as Token
  if (isEndOfHoles(tag)) return parseEndOfHoles(parser, nodes, lexer, tag)
  if (tag.value === 'nocache') return parseHole(parser, nodes, lexer, tag, settings)
  if (tag.value === 'cache') return parseCache(parser, nodes, lexer, tag, settings)
  throw strayEnd(parser, tag, settings.template)
}

/**
 * Reads a cache tag, its body and its end.
 *
 * @returns Statements that call the extension's `run` with the values of the arguments and with a
 *   function that renders the body. The same for synchronous and asynchronous rendering.
 * @throws CacheTagError: the tag is written wrongly.
 */
function parseCache(
  parser: Parser,
  nodes: Nodes,
  lexer: Lexer,
  tag: Token,
  settings: ParseSettings,
): Node {
  const { asyncFilters, template } = settings
  const line = tag.lineno + 1
  const isDropped = isDroppedAt(parser.tokens, lexer)
  const source = new TagSource(parser, lexer, { template, line })
  const position = { template, line, fragment: source.arguments.name }
  parser.advanceAfterBlockEnd('cache')
  const { body, end } = parseBody(parser, 'cache', position)
  readEnd(parser.tokens, { ...position, line: end.lineno + 1 }, position.fragment)
  parser.advanceAfterBlockEnd('endcache')
  checkTagBody(body, nodes, asyncFilters, position)
  return new TagCompiler(
    new NodeFactory(nodes, tag),
    parser.tokens.str,
    position,
    settings,
  ).compile(source, body, isDropped)
}

/** Puts the pieces of one tag together. */
class TagCompiler {
  readonly #make: NodeFactory
  readonly #nodes: Nodes
  readonly #source: string
  readonly #position: TagPosition
  readonly #settings: ParseSettings
  readonly #first: Node[] = []
  readonly #pieces: Node[] = []

  constructor(make: NodeFactory, source: string, position: TagPosition, settings: ParseSettings) {
    this.#make = make
    this.#nodes = make.nodes
    this.#source = source
    this.#position = position
    this.#settings = settings
  }

  compile(source: TagSource, body: Node, isDropped: string): Node {
    const place = this.#make.code('')
    const usesSuper = replaceSuper(body, this.#nodes, () => this.#superOf(place))
    const { variables, callerUse } = readBody(body, this.#nodes)
    const { template, line } = this.#position
    const varyOnNames = source.arguments.varyOn.flatMap(({ text }) => namesIn(text))
    const record: TagRecord = {
      name: source.arguments.name,
      line: line as number,
      ...(template === undefined ? {} : { template }),
      ...(template === undefined || this.#settings.digest
        ? { source: hash('sha256', this.#source).slice(0, 12) }
        : {}),
      ...(source.arguments.keywords.size > 0 ? { hasKeywords: true } : {}),
      ...(varyOnNames.length > 0 ? { varyOnNames } : {}),
      ...(usesSuper ? { usesSuper } : {}),
      ...(callerUse === 'none' ? {} : { callerUse }),
    }
    this.#add(
      `var ${TAG} = env.getExtension("${EXTENSION}"), ` +
        `${TEXT} = ${TAG}.run(${JSON.stringify(JSON.stringify(record))}, ` +
        `context, frame, runtime, root, ${isDropped}, `,
    )
    this.#addValues(source)
    this.#add(', ')
    this.#addBody(body, variables)
    this.#add(');\n')
    return this.#make.list([place, ...this.#first, ...this.#pieces, this.#make.output(TEXT)])
  }

  #addValues(source: TagSource): void {
    const { timeout, varyOn, keywords } = source.arguments
    this.#add('{ timeout: ')
    this.#addExpression(source, timeout)
    // What these read of a visitor, and nothing else does, is what the fragment tells visitors apart by.
    const isRead = varyOn.length > 0
    this.#add(isRead ? `, varyOn: (${TAG}.beginVaryOn(), [` : ', varyOn: [')
    let wait = false
    varyOn.forEach((argument, i) => {
      if (i > 0) this.#add(', ')
      for (const filter of this.#addExpression(source, argument)) {
        wait = true
        this.#declare(filter)
      }
    })
    if (wait) this.#first.unshift(this.#make.code(`var ${INPUTS} = undefined, ${VALUE};\n`))
    this.#add(isRead ? `]), declared: ${TAG}.endVaryOn(${wait ? INPUTS : ''})` : ']')
    for (const [keyword, argument] of keywords) {
      this.#add(`, "${keyword}": `)
      this.#addExpression(source, argument)
    }
    this.#add(' }')
  }

  /** @returns Its asynchronous filters, which run before all else. */
  #addExpression(source: TagSource, argument: ArgumentSource): readonly Node[] {
    const { first, expression } = liftAsyncFilters(
      source.parse(argument),
      this.#nodes,
      this.#settings.asyncFilters,
      () => `fragcache_result_${++results}`,
    )
    this.#first.push(...first)
    this.#pieces.push(expression)
    return first
  }

  /** Notes what an asynchronous filter of a vary-on value is given, before it waits. */
  #declare(filter: Node): void {
    const { children } = filter['args'] as NodeList
    const extension = `env.getExtension("${EXTENSION}")`
    const last = children.length - 1
    const wrap = (i: number, before: string, after: string): void => {
      const child = children[i] as Node
      children[i] = this.#make.list([this.#make.code(before), child, this.#make.code(after)])
    }
    const end = `${INPUTS} = ${extension}.endVaryOn(${INPUTS})`
    wrap(last, `(${VALUE} = `, `, ${end}, ${VALUE})`)
    wrap(0, `(${extension}.beginVaryOn(), `, ')')
  }

  /** A function of four uses; see `CompiledBody`. */
  #addBody(body: Node, variables: ReadonlySet<string>): void {
    this.#add('function (use, runtime, fragcacheContext, fragcacheScope, cb) {\n')
    this.#add('if (use.at) { if (runtime) { lineno = runtime[0]; colno = runtime[1]; } ')
    this.#add('return [lineno, colno]; }\n')
    this.#add('if (use.keep) {\n')
    const kept = [...variables].map((name, i) => this.#addKept(name, i))
    this.#add('return;\n}\n')
    const areHeld = () => kept.some(({ isHeld }) => isHeld())
    this.#pieces.push(this.#make.code(() => `if (use.holds) return ${areHeld()};\n`))
    const parameters = kept.map(({ parameter }) => parameter)
    // Neither may learn of the macro. The frame stays the one of the code around, which macros of the same
    // template change as well.
    this.#add('var context = use, fragcacheFrame = frame;\nframe = use;\n')
    this.#pieces.push(
      this.#make.make(
        this.#nodes.Macro,
        this.#make.symbol(BODY),
        this.#make.list(parameters),
        this.#make.list([
          this.#make.code('frame = fragcacheScope;\n'),
          body,
          this.#make.code('cb(null);\n'),
        ]),
      ),
    )
    this.#add('context = fragcacheContext;\nframe = fragcacheFrame;\nreturn ')
    this.#pieces.push(this.#make.symbol(BODY))
    this.#add(';\n}')
  }

  /**
   * Keeps a variable of the tag's place for the body. Only those that the engine's compiler holds in
   * JavaScript's become parameters of the body, so that it finds each variable where it would without
   * the tag.
   *
   * @returns The parameter, and whether it is one, to be asked once the code is compiled.
   */
  #addKept(
    name: string,
    index: number,
  ): { readonly parameter: Node; readonly isHeld: () => boolean } {
    const { pieces, isHeld } = this.#make.keep(name, index)
    this.#pieces.push(...pieces)
    const parameter = this.#make.symbol(name)
    Object.defineProperty(parameter, 'value', {
      get: () => (isHeld() ? name : `fragcache_unused_${index}`),
    })
    return { parameter, isHeld }
  }

  /**
   * `super()` as something that is rendered where it is. The engine renders it at the beginning
   * of the block, on every hit too.
   *
   * @param place - A node of this tag. When the engine gathers the blocks of the template it asks it
   *   for those inside, by which the tag learns in which block it is.
   */
  #superOf(place: Node): Node {
    let name: string | undefined
    place.findAll = (_type, results = []) => {
      const around = results.findLast((block) => isInside(place, block, this.#nodes))
      name = around && ((around['name'] as Node)['value'] as string)
      return results
    }
    return this.#make.code(() =>
      name === undefined
        ? 'runtime.callWrap(undefined, "super", context, [])'
        : `env.getExtension("${EXTENSION}").parentBlock(env, context, "${name}", b_${name}, runtime, fragcacheScope)`,
    )
  }

  #add(code: string): void {
    this.#pieces.push(this.#make.code(code))
  }
}
