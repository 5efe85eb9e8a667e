import { createHash } from 'node:crypto'
import type { TagPosition } from '../../src/errors.js'
import { checkKeyword, faults } from '../../src/fragment/faults.js'
import { toTimeout } from '../../src/fragment/spec.js'
import type { ParseOptions } from './engine.js'
import { FACTS_FORM, type HoleFacts, type TemplateFacts } from './facts.js'
import { blockFaults, holeFaults } from './faults.js'
import { LOOP_DATA, usesOf, type HoleUses } from './hole-uses.js'
import { hasArguments, isName, linesOf, simpleName, sliceLines, type Node } from './syntax.js'

/** What is parsed. */
export interface Parsed {
  readonly tree: Node
  /** `undefined`: it was given as a tree. */
  readonly source: string | undefined
  readonly options: ParseOptions
  /** Its name, if it has one. */
  readonly template: string | undefined
  /** Takes the names of cache tags with vary-on values. */
  readonly names?: Pick<WeakSet<Node>, 'add'>
  /** Whether there is a tag of this name. */
  readonly isTag: (name: Tag) => boolean
  /** Whether a name is a helper's; `undefined`: that is not known yet. */
  readonly isHelper: (name: string) => boolean | undefined
}

/**
 * Checks the tags of a template once it is parsed: everything that is wrong whatever the context will
 * be. Gives each nocache block its identity.
 *
 * @returns What was found, but for the numbers of programs.
 * @throws CacheTagError
 */
export function checkTags(parsed: Parsed): TemplateFacts {
  const checker = new Checker(parsed)
  checker.visit(parsed.tree, OUTSIDE)
  return checker.facts
}

/** The outermost tag of the template around a node, if it keeps its body in any case. */
interface Kept {
  readonly fragment: string
  /** A block between that renders in a context of its own. */
  readonly contextBlock: string | undefined
  readonly isInLoop: boolean
  readonly params: readonly string[]
}

/** What is around a node. */
interface Surroundings {
  /** Names that hide helpers here. */
  readonly params: readonly string[]
  /** The block parameters of each program around but the template's own, the innermost first. */
  readonly programs: readonly (readonly string[] | null | undefined)[]
  readonly loops: number
  readonly kept: Kept | undefined
}

const OUTSIDE: Surroundings = { params: [], programs: [], loops: 0, kept: undefined }

export type Tag = 'cache' | 'nocache'

/** What a nocache block is known by. */
const ID = /^\d+-[0-9a-f]{12}$/

class Checker {
  readonly #parsed: Parsed
  readonly #holes: Record<string, HoleFacts> = {}
  readonly #partials = new Set<string>()
  #namesByExpression = false
  #usesLoopData = false
  #holeCount = 0
  #sourceLines: readonly string[] | undefined

  constructor(parsed: Parsed) {
    this.#parsed = parsed
  }

  get facts(): TemplateFacts {
    const { source, tree } = this.#parsed
    return {
      form: FACTS_FORM,
      hash: digestOf(source ?? JSON.stringify(tree)),
      partials: [...this.#partials].sort(),
      namesByExpression: this.#namesByExpression,
      usesLoopData: this.#usesLoopData,
      holes: this.#holes,
    }
  }

  visit(node: Node | null | undefined, around: Surroundings): void {
    if (node === null || node === undefined) return
    const tag = this.#tagOf(node, around.params)
    if (tag === 'cache') this.#checkCache(node, around.params)
    this.#note(node, around)
    for (const param of node.params ?? []) this.visit(param, around)
    for (const { value } of node.hash?.pairs ?? []) this.visit(value, around)
    // The name of a dynamic partial is an expression.
    if (typeof node.name === 'object') this.visit(node.name, around)
    if (node.path !== undefined) this.#note(node.path, around)
    for (const statement of node.body ?? []) this.visit(statement, around)
    const within = tag === undefined ? enter(node, around) : enterTag(tag, node, around)
    this.#visitProgram(node.program, within)
    this.#visitProgram(node.inverse, around)
    // Last, since it changes the node.
    if (tag === 'nocache') this.#checkHole(node, around)
  }

  #visitProgram(program: Node | null | undefined, around: Surroundings): void {
    if (program === null || program === undefined) return
    const { blockParams } = program
    const params = blockParams ?? []
    const { kept } = around
    this.visit(program, {
      ...around,
      params: [...params, ...around.params],
      programs: [blockParams, ...around.programs],
      kept: kept && { ...kept, params: [...params, ...kept.params] },
    })
  }

  #note(node: Node, { loops }: Surroundings): void {
    switch (node.type) {
      case 'PathExpression':
        if (node.data === true && LOOP_DATA.includes(node.parts?.[0] ?? '')) {
          if ((node.depth ?? 0) >= loops) this.#usesLoopData = true
        }
        return
      case 'PartialStatement':
      case 'PartialBlockStatement': {
        const name = node.name as Node
        if (name.type === 'SubExpression') this.#namesByExpression = true
        else if (name.original !== '@partial-block') this.#partials.add(String(name.original))
        return
      }
      default:
    }
  }

  /** The tag whose helper Handlebars will call for this node. */
  #tagOf(node: Node, params: readonly string[]): Tag | undefined {
    const { type, path } = node
    if (type !== 'MustacheStatement' && type !== 'BlockStatement' && type !== 'SubExpression') {
      return undefined
    }
    const tag = (['cache', 'nocache'] as const).find((name) => path && isName(path, name))
    if (tag === undefined || params.includes(tag)) return undefined
    if (!this.#parsed.isTag(tag)) return undefined
    if (tag === 'nocache' && type === 'BlockStatement') return tag
    return hasArguments(node) || !this.#isUnknown(tag) ? tag : undefined
  }

  #isUnknown(tag: Tag): boolean {
    const { knownHelpersOnly, knownHelpers } = this.#parsed.options
    return knownHelpersOnly === true && knownHelpers?.[tag] !== true
  }

  #positionOf(node: Node): TagPosition {
    return { template: this.#parsed.template, line: node.loc?.start.line }
  }

  #checkCache(node: Node, blockParams: readonly string[]): void {
    const position = this.#positionOf(node)
    if (node.type !== 'BlockStatement') throw blockFaults.inline(position)
    const params = node.params ?? []
    const [timeout, name] = params
    const at = {
      ...position,
      fragment: name?.type === 'StringLiteral' ? (name.value as string) : undefined,
    }
    if (this.#parsed.options.stringParams === true) throw blockFaults.stringParams(at)
    if (this.#isUnknown('cache')) throw blockFaults.knownHelpersOnly('cache', at)
    if (!node.program || node.inverse) throw blockFaults.otherwise(at)
    if (node.program.blockParams?.length) throw blockFaults.blockParams(at)
    if (timeout === undefined || name === undefined) throw faults.tooFewArguments(position)
    if (name.type !== 'StringLiteral') throw faults.unquotedName(position)
    if (name.value === '') throw faults.name('', position)
    params[0] = this.#checkTimeout(timeout, blockParams, at)
    this.#checkKeywords(node, at)
    if (params.length > 2) this.#parsed.names?.add(name)
  }

  /** @returns What is to stand there: `none` is a word as in the other engines, not a variable. */
  #checkTimeout(timeout: Node, blockParams: readonly string[], position: TagPosition): Node {
    switch (timeout.type) {
      case 'NumberLiteral':
      case 'StringLiteral':
      case 'BooleanLiteral':
        toTimeout(timeout.value, position)
        return timeout
      case 'UndefinedLiteral':
        throw faults.timeout(undefined, position)
      case 'PathExpression':
        if (!isName(timeout, 'none') || blockParams.includes('none')) return timeout
        return { ...timeout, type: 'NullLiteral', original: null, value: null }
      default:
        return timeout
    }
  }

  #checkKeywords({ hash }: Node, position: TagPosition): void {
    const given = new Set<string>()
    for (const { key } of hash?.pairs ?? []) {
      checkKeyword(key, position)
      if (given.has(key)) throw faults.repeatedKeyword(key, position)
      given.add(key)
    }
  }

  #checkHole(node: Node, around: Surroundings): void {
    const position = this.#positionOf(node)
    const { program, inverse, params } = node
    const { source, options } = this.#parsed
    if (node.type !== 'BlockStatement') throw holeFaults.inline(position)
    if (options.stringParams === true) throw blockFaults.stringParams(position)
    if (this.#isUnknown('nocache')) throw blockFaults.knownHelpersOnly('nocache', position)
    // The parser of another copy of this package may have been here before.
    const [given] = params ?? []
    const known = given?.type === 'StringLiteral' ? String(given.value) : undefined
    const isKnown = known !== undefined && params?.length === 1 && !node.hash && ID.test(known)
    if (params === undefined || (hasArguments(node) && !isKnown)) {
      throw holeFaults.arguments(position)
    }
    if (!program || inverse) throw holeFaults.otherwise(position)
    if (program.blockParams?.length) throw holeFaults.blockParams(position)
    const uses = usesOf(program, around.programs, options)
    const { kept } = around
    if (kept !== undefined) this.#checkBound(uses, kept, { ...position, fragment: kept.fragment })
    const index = this.#holeCount++
    this.#sourceLines ??= source === undefined ? undefined : linesOf(source)
    const text = this.#sourceLines && sliceLines(this.#sourceLines, node)
    const id = isKnown ? known : `${index}-${digestOf(text ?? JSON.stringify(node)).slice(0, 12)}`
    this.#holes[id] = { program: -1, level: around.programs.length, uses }
    params[0] = {
      type: 'StringLiteral',
      value: id,
      original: id,
      ...(node.loc && { loc: node.loc }),
    }
  }

  /** What is bound between the outermost tag and the hole means nothing on a hit. */
  #checkBound(uses: HoleUses, kept: Kept, position: TagPosition): void {
    for (const [, name] of uses.blockParams) {
      if (kept.params.includes(name)) throw holeFaults.bound(name, position)
    }
    if (kept.isInLoop) {
      const loops = uses.data.find(([, name]) => LOOP_DATA.includes(name))
      if (loops !== undefined) throw holeFaults.bound(`@${loops[1]}`, position)
    }
    if (kept.contextBlock === undefined) return
    const name =
      uses.context >= 0 ? uses.path : uses.names.find((one) => this.#parsed.isHelper(one) === false)
    if (name !== undefined) throw holeFaults.ofContext(name, kept.contextBlock, position)
  }
}

function enter(node: Node, around: Surroundings): Surroundings {
  const name =
    node.type === 'BlockStatement' && node.path !== undefined ? simpleName(node.path) : undefined
  if (name !== 'each' && name !== 'with') return around
  const { kept } = around
  return {
    ...around,
    loops: around.loops + (name === 'each' ? 1 : 0),
    kept: kept && {
      ...kept,
      contextBlock: kept.contextBlock ?? name,
      isInLoop: kept.isInLoop || name === 'each',
    },
  }
}

function enterTag(tag: Tag, { params, hash }: Node, around: Surroundings): Surroundings {
  // What stands in a hole is rendered as if the hole were all there is.
  if (tag === 'nocache') return { ...around, kept: undefined }
  // Without the cache, the tag keeps nothing.
  const isSure = hash?.pairs.every(({ key }) => key !== 'if') ?? true
  if (around.kept !== undefined || !isSure) return around
  const fragment = String(params?.[1]?.value)
  return {
    ...around,
    kept: { fragment, contextBlock: undefined, isInLoop: false, params: [] },
  }
}

/** Of a template's source, or a part of it: hexadecimal. */
export function digestOf(text: string): string {
  return createHash('sha256').update(text).digest('hex').slice(0, 32)
}
