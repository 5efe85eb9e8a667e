import { hash } from 'node:crypto'
import type { ArgumentSource } from '../../src/fragment/arguments.js'
import { faults } from '../../src/fragment/faults.js'
import type { TagPosition } from '../../src/errors.js'
import type { Lexer, Node, Nodes, Parser, Token } from './engine.js'
import { nunjucksFaults } from './faults.js'
import {
  BODY,
  checkBody,
  isInside,
  liftAsyncFilters,
  readBody,
  replaceSuper,
} from './syntax-tree.js'
import { readEnd, TagSource } from './tag-source.js'
import type { TagRecord } from './tag.js'

/** The name under which compiled templates find the extension. */
export const EXTENSION = 'fragcache'

/** A name in compiled code that no template's variable has. */
const TEXT = 'fragcache_text'

/** What of the environment the parsing of a tag needs. */
export interface ParseSettings {
  readonly asyncFilters: readonly string[]
  /** The template that is being compiled, if it is known. */
  readonly template: string | undefined
}

/** What the compiler can make a parameter of. */
const IDENTIFIER_PART = /^[\p{ID_Continue}$]+$/u

let results = 0

/** The cache tags that are open in a parser, innermost last. */
const openTags = new WeakMap<Parser, TagPosition[]>()

/**
 * Reads a cache tag, its body and its end.
 *
 * @returns Statements that call the extension's `run` with the values of the arguments and with a
 *   function that renders the body. The same for synchronous and asynchronous rendering.
 * @throws CacheTagError: the tag is written wrongly.
 */
export function parseTag(
  parser: Parser,
  nodes: Nodes,
  lexer: Lexer,
  { asyncFilters, template }: ParseSettings,
): Node {
  const tag = parser.nextToken() as Token
  const line = tag.lineno + 1
  const open = openTags.get(parser) ?? []
  openTags.set(parser, open)
  if (tag.value === 'endcache') {
    const outer = open.at(-1)
    if (outer === undefined) throw faults.strayEnd({ template, line })
    throw nunjucksFaults.crossedEnd({ ...outer, line })
  }
  const source = new TagSource(parser, lexer, { template, line })
  const position = { template, line, fragment: source.arguments.name }
  parser.advanceAfterBlockEnd('cache')
  open.push(position)
  const body = parseBody(parser, position)
  open.pop()
  checkBody(body, nodes, asyncFilters, position)
  return new TagCompiler(nodes, parser.tokens.str, tag, position, asyncFilters).compile(
    source,
    body,
  )
}

function parseBody(parser: Parser, position: TagPosition): Node {
  let body: Node
  try {
    body = parser.parseUntilBlocks('endcache')
  } catch (error) {
    // The end of what is around the tag.
    if (/^unknown block tag: (?:end|else|elif|elseif|case$|default$)/.test(messageOf(error))) {
      throw faults.missingEnd(position)
    }
    throw error
  }
  const end = parser.nextToken()
  if (end === null) throw faults.missingEnd(position)
  readEnd(parser.tokens, { ...position, line: end.lineno + 1 }, position.fragment as string)
  parser.advanceAfterBlockEnd('endcache')
  return body
}

function messageOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error)
}

/** Code that the engine's compiler puts out as it is. */
function verbatim(code: string | (() => string)): { toString(): string } {
  return { toString: typeof code === 'string' ? () => code : code }
}

/** Puts the pieces of one tag together. */
class TagCompiler {
  readonly #nodes: Nodes
  readonly #source: string
  readonly #tag: Token
  readonly #position: TagPosition
  readonly #asyncFilters: readonly string[]
  readonly #first: Node[] = []
  readonly #pieces: Node[] = []

  constructor(
    nodes: Nodes,
    source: string,
    tag: Token,
    position: TagPosition,
    asyncFilters: readonly string[],
  ) {
    this.#nodes = nodes
    this.#source = source
    this.#tag = tag
    this.#position = position
    this.#asyncFilters = asyncFilters
  }

  compile(source: TagSource, body: Node): Node {
    const place = this.#code('')
    const usesSuper = replaceSuper(body, this.#nodes, () => this.#superOf(place))
    const { variables, callerUse } = readBody(body, this.#nodes)
    const record: TagRecord = {
      name: source.arguments.name,
      line: this.#tag.lineno + 1,
      ...(this.#position.template === undefined
        ? { source: hash('md5', this.#source).slice(0, 8) }
        : { template: this.#position.template }),
      ...(source.arguments.keywords.size > 0 ? { hasKeywords: true } : {}),
      ...(usesSuper ? { usesSuper } : {}),
      ...(callerUse === 'none' ? {} : { callerUse }),
    }
    this.#add(
      `var ${TEXT} = env.getExtension("${EXTENSION}").run(${JSON.stringify(JSON.stringify(record))}, ` +
        // At the top of a template that extends another nothing is put out.
        'context, frame, runtime, root, frame.topLevel && parentTemplate, ',
    )
    this.#addValues(source)
    this.#add(', ')
    this.#addBody(body, variables)
    this.#add(');\n')
    return this.#list([
      place,
      ...this.#first,
      ...this.#pieces,
      this.#node(this.#nodes.Output, [this.#node(this.#nodes.TemplateData, verbatim(TEXT))]),
    ])
  }

  #addValues(source: TagSource): void {
    const { timeout, varyOn, keywords } = source.arguments
    this.#add('{ timeout: ')
    this.#addExpression(source, timeout)
    this.#add(', varyOn: [')
    varyOn.forEach((argument, i) => {
      if (i > 0) this.#add(', ')
      this.#addExpression(source, argument)
    })
    this.#add(']')
    for (const [keyword, argument] of keywords) {
      this.#add(`, "${keyword}": `)
      this.#addExpression(source, argument)
    }
    this.#add(' }')
  }

  #addExpression(source: TagSource, argument: ArgumentSource): void {
    const { first, expression } = liftAsyncFilters(
      source.parse(argument),
      this.#nodes,
      this.#asyncFilters,
      () => `fragcache_result_${++results}`,
    )
    this.#first.push(...first)
    this.#pieces.push(expression)
  }

  /** A function of three uses; see `CompiledBody`. */
  #addBody(body: Node, variables: ReadonlySet<string>): void {
    this.#add('function (use, runtime, fragcacheContext, fragcacheScope, cb) {\n')
    this.#add('if (use.at) { if (runtime) { lineno = runtime[0]; colno = runtime[1]; } ')
    this.#add('return [lineno, colno]; }\n')
    this.#add('if (use.keep) {\n')
    const parameters = [...variables].map((name, i) => this.#addKept(name, i))
    this.#add('return;\n}\n')
    // Neither is to be told of the macro. The frame stays the one of the code around, which macros
    // of the same template change as well.
    this.#add('var context = use, fragcacheFrame = frame;\nframe = use;\n')
    this.#pieces.push(
      this.#node(
        this.#nodes.Macro,
        this.#node(this.#nodes.Symbol, BODY),
        this.#list(parameters),
        this.#list([this.#code('frame = fragcacheScope;\n'), body, this.#code('cb(null);\n')]),
      ),
    )
    this.#add('context = fragcacheContext;\nframe = fragcacheFrame;\nreturn ')
    this.#pieces.push(this.#node(this.#nodes.Symbol, BODY))
    this.#add(';\n}')
  }

  /**
   * Keeps a variable of the tag's place for the body.
   *
   * The engine's compiler holds some variables in JavaScript's (loop variables, arguments, macros,
   * imports) and looks the others up while it renders. Only the former become parameters of the
   * body, so that it finds each variable where it would without the tag.
   *
   * @returns The parameter.
   */
  #addKept(name: string, index: number): Node {
    let isHeld = false
    // A name may be held in a scope that is closed by now, or not open yet.
    this.#pieces.push(
      this.#code(() => {
        isHeld = IDENTIFIER_PART.test(name)
        return `try { use.keep(${index}, `
      }),
    )
    const probe = {
      // The compiler uses a name as a key and, for a variable it does not hold, in code.
      [Symbol.toPrimitive](hint: string) {
        if (hint === 'default') isHeld = false
        return name
      },
    }
    this.#pieces.push(this.#node(this.#nodes.Symbol, probe))
    this.#add('); } catch (e) {}\n')
    const parameter = this.#node(this.#nodes.Symbol, name)
    Object.defineProperty(parameter, 'value', {
      get: () => (isHeld ? name : `fragcache_unused_${index}`),
    })
    return parameter
  }

  /**
   * `super()` as something that is rendered where it stands. The engine renders it at the beginning
   * of the block, on every hit too.
   *
   * @param place - A node of this tag. When the engine gathers the blocks of the template it asks it
   *   for those inside, by which the tag learns in which block it stands.
   */
  #superOf(place: Node): Node {
    let name: string | undefined
    place.findAll = (_type, results = []) => {
      const around = results.findLast((block) => isInside(place, block, this.#nodes))
      name = around && ((around['name'] as Node)['value'] as string)
      return results
    }
    return this.#code(() =>
      name === undefined
        ? 'runtime.callWrap(undefined, "super", context, [])'
        : `env.getExtension("${EXTENSION}").parentBlock(env, context, "${name}", b_${name}, runtime, fragcacheScope)`,
    )
  }

  #add(code: string): void {
    this.#pieces.push(this.#code(code))
  }

  #code(code: string | (() => string)): Node {
    return this.#node(this.#nodes.Literal, verbatim(code))
  }

  #list(children: readonly Node[]): Node {
    return this.#node(this.#nodes.NodeList, children)
  }

  #node(
    type: new (lineno: number, colno: number, ...fields: readonly unknown[]) => Node,
    ...fields: readonly unknown[]
  ): Node {
    return new type(this.#tag.lineno, this.#tag.colno, ...fields)
  }
}
