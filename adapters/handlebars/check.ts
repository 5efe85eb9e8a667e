import type { TagPosition } from '../../src/errors.js'
import { checkKeyword, faults } from '../../src/fragment/faults.js'
import { toTimeout } from '../../src/fragment/spec.js'
import type { ParseOptions } from './engine.js'
import { blockFaults } from './faults.js'

/** A node of Handlebars' syntax tree. */
interface Node {
  readonly type: string
  readonly loc?: { readonly start: { readonly line: number } }
  readonly path?: Node
  readonly name?: Node
  readonly params?: Node[]
  readonly hash?: { readonly pairs: readonly { readonly key: string; readonly value: Node }[] }
  readonly program?: Node | null
  readonly inverse?: Node | null
  readonly body?: readonly Node[]
  readonly blockParams?: readonly string[] | null
  readonly parts?: readonly string[]
  readonly depth?: number
  readonly original?: unknown
  readonly value?: unknown
}

/**
 * Checks the cache tags of a template once it is parsed: everything that is wrong whatever the
 * context will be.
 *
 * @param template - Its name, if it has one.
 * @throws CacheTagError
 */
export function checkTags(
  tree: unknown,
  options: ParseOptions | undefined,
  template: string | undefined,
): void {
  new Checker(options ?? {}, template).visit(tree as Node, [])
}

class Checker {
  readonly #options: ParseOptions
  readonly #template: string | undefined

  constructor(options: ParseOptions, template: string | undefined) {
    this.#options = options
    this.#template = template
  }

  /** @param blockParams - Names that hide helpers here. */
  visit(node: Node | null | undefined, blockParams: readonly string[]): void {
    if (node === null || node === undefined) return
    if (this.#isTag(node, blockParams)) this.#check(node, blockParams)
    for (const param of node.params ?? []) this.visit(param, blockParams)
    for (const { value } of node.hash?.pairs ?? []) this.visit(value, blockParams)
    // The name of a dynamic partial is an expression.
    if (typeof node.name === 'object') this.visit(node.name, blockParams)
    const within =
      node.type === 'Program' && node.blockParams
        ? [...node.blockParams, ...blockParams]
        : blockParams
    for (const statement of node.body ?? []) this.visit(statement, within)
    this.visit(node.program, within)
    this.visit(node.inverse, within)
  }

  /** Whether Handlebars will call the helper `cache` for this node. */
  #isTag(node: Node, blockParams: readonly string[]): boolean {
    const { type, path } = node
    if (type !== 'MustacheStatement' && type !== 'BlockStatement' && type !== 'SubExpression') {
      return false
    }
    if (path === undefined || !isName(path, 'cache') || blockParams.includes('cache')) return false
    const called = type === 'SubExpression' || node.params?.length !== 0 || Boolean(node.hash)
    return called || !this.#isUnknown
  }

  get #isUnknown(): boolean {
    const { knownHelpersOnly, knownHelpers } = this.#options
    return knownHelpersOnly === true && knownHelpers?.['cache'] !== true
  }

  #check(node: Node, blockParams: readonly string[]): void {
    const position = { template: this.#template, line: node.loc?.start.line }
    if (node.type !== 'BlockStatement') throw blockFaults.inline(position)
    const params = node.params ?? []
    const [timeout, name] = params
    const at = {
      ...position,
      fragment: name?.type === 'StringLiteral' ? (name.value as string) : undefined,
    }
    if (this.#options.stringParams === true) throw blockFaults.stringParams(at)
    if (this.#isUnknown) throw blockFaults.knownHelpersOnly(at)
    if (!node.program || node.inverse) throw blockFaults.otherwise(at)
    if (node.program.blockParams?.length) throw blockFaults.blockParams(at)
    if (timeout === undefined || name === undefined) throw faults.tooFewArguments(position)
    if (name.type !== 'StringLiteral') throw faults.unquotedName(position)
    if (name.value === '') throw faults.name('', position)
    params[0] = this.#checkTimeout(timeout, blockParams, at)
    this.#checkKeywords(node, at)
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
}

/** Whether a path is a plain name: no `this.`, `../` or `@` before it, nothing after it. */
function isName({ parts, depth, original }: Node, name: string): boolean {
  return original === name && !depth && (parts === undefined || parts.length === 1)
}
