import { createHash } from 'node:crypto'
import type { TagPosition } from '../../src/errors.js'
import { checkKeyword, faults } from '../../src/fragment/faults.js'
import { holeFaults as namedFaults } from '../../src/fragment/named-values.js'
import { toTimeout } from '../../src/fragment/spec.js'
import type { ParseOptions } from './engine.js'
import { FACTS_FORM, placeOf, type HoleFacts, type TemplateFacts } from './facts.js'
import { blockFaults, handlebarsHoleFaults } from './faults.js'
import { findOwnName, hasOwnContext } from './hole-names.js'
import { hasArguments, isName, linesOf, sliceLines, variablesIn, type Node } from './syntax.js'

/** What is parsed. */
export interface Parsed {
  readonly tree: Node
  /** `undefined`: the template was passed as a tree. */
  readonly source: string | undefined
  readonly options: ParseOptions
  /** Its name, if it has one. */
  readonly template: string | undefined
  /** Takes the names of cache tags with vary-on values. */
  readonly names?: Pick<WeakSet<Node>, 'add'>
  /** Whether there is a tag of this name. */
  readonly isTag: (name: Tag) => boolean
}

/**
 * Checks the tags of a template once it is parsed: everything that is wrong whatever the context will
 * be. Gives each nocache block its identity.
 *
 * @returns What was found, but for the numbers of programs.
 * @throws CacheTagError
 */
export function checkCacheTags(parsed: Parsed): TemplateFacts {
  const checker = new Checker(parsed)
  checker.visit(parsed.tree, OUTSIDE)
  return checker.facts
}

/** What is around a node. */
interface Surroundings {
  /** The block parameters, which hide helpers here. */
  readonly params: readonly string[]
  /** The same by block, from the inside out. */
  readonly blocks: readonly (readonly string[])[]
  /** How many blocks. */
  readonly level: number
  /** Whether a block has a context of its own. */
  readonly isApart: boolean
}

const OUTSIDE: Surroundings = { params: [], blocks: [], level: 0, isApart: false }

export type Tag = 'cache' | 'nocache'

/** What a nocache block is known by. */
const ID = /^\d+-[0-9a-f]{12}$/

class Checker {
  readonly #parsed: Parsed
  readonly #holes: Record<string, HoleFacts> = {}
  readonly #varyOn: Record<string, readonly string[]> = {}
  readonly #partials = new Set<string>()
  #namesByExpression = false
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
      holes: this.#holes,
      ...(Object.keys(this.#varyOn).length > 0 && { varyOn: this.#varyOn }),
    }
  }

  visit(node: Node | null | undefined, around: Surroundings): void {
    if (node === null || node === undefined) return
    const tag = this.#tagOf(node, around.params)
    if (tag === 'cache') this.#checkCache(node, around)
    this.#note(node)
    for (const param of node.params ?? []) this.visit(param, around)
    for (const { value } of node.hash?.pairs ?? []) this.visit(value, around)
    // The name of a dynamic partial is an expression.
    if (typeof node.name === 'object') this.visit(node.name, around)
    for (const statement of node.body ?? []) this.visit(statement, around)
    const isApart = tag !== 'nocache' && (around.isApart || hasOwnContext(node))
    const within = { ...around, isApart }
    this.#visitProgram(node.program, within)
    this.#visitProgram(node.inverse, around)
    // Last, since it changes the node.
    if (tag === 'nocache') this.#checkHole(node, around)
  }

  #visitProgram(program: Node | null | undefined, around: Surroundings): void {
    if (program === null || program === undefined) return
    const blocks = [program.blockParams ?? [], ...around.blocks]
    this.visit(program, { ...around, params: blocks.flat(), blocks, level: around.level + 1 })
  }

  #note(node: Node): void {
    switch (node.type) {
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

  #checkCache(node: Node, { params: blockParams, blocks }: Surroundings): void {
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
    if (name.type !== 'StringLiteral') throw faults.unquotedName(name.value, position)
    if (name.value === '') throw faults.name('', position)
    params[0] = this.#checkTimeout(timeout, blockParams, at)
    this.#checkKeywords(node, at)
    if (params.length === 2) return
    this.#parsed.names?.add(name)
    const names = variablesIn(params.slice(2), blocks)
    if (names.length > 0) this.#varyOn[placeOf(String(name.value), node.loc?.start)] = names
  }

  /** @returns What is to be there: `none` is a word as in the other engines, not a variable. */
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
    const { program, inverse, params = [] } = node
    const { source, options } = this.#parsed
    if (node.type !== 'BlockStatement') throw handlebarsHoleFaults.inline(position)
    if (options.stringParams === true) throw blockFaults.stringParams(position)
    if (this.#isUnknown('nocache')) throw blockFaults.knownHelpersOnly('nocache', position)
    // The parser of another copy of this package may have been here before.
    const [given] = params
    const known = given?.type === 'StringLiteral' ? String(given.value) : undefined
    const isKnown = known !== undefined && params.length === 1 && ID.test(known)
    if (given !== undefined && !isKnown) {
      throw faults.unnamedValue(String(given.original), position)
    }
    if (!program || inverse) throw handlebarsHoleFaults.otherwise(position)
    if (program.blockParams?.length) throw handlebarsHoleFaults.blockParams(position)
    const own = findOwnName(program, around, this.#namesOf(node, position))
    if (own !== undefined) {
      throw namedFaults.ownName(own.name, `{{#nocache ${own.named}}}`, position)
    }
    const index = this.#holeCount++
    this.#sourceLines ??= source === undefined ? undefined : linesOf(source)
    const text = this.#sourceLines && sliceLines(this.#sourceLines, node)
    const id = isKnown ? known : `${index}-${digestOf(text ?? JSON.stringify(node)).slice(0, 12)}`
    this.#holes[id] = { program: -1, level: around.level }
    params[0] = {
      type: 'StringLiteral',
      value: id,
      original: id,
      ...(node.loc && { loc: node.loc }),
    }
  }

  #namesOf({ hash }: Node, position: TagPosition): ReadonlySet<string> {
    const names = new Set<string>()
    for (const { key } of hash?.pairs ?? []) {
      if (names.has(key)) throw faults.repeatedKeyword(key, position)
      names.add(key)
    }
    return names
  }
}

/** Of a template's source, or a part of it: hexadecimal. */
export function digestOf(text: string): string {
  return createHash('sha256').update(text).digest('hex').slice(0, 32)
}
