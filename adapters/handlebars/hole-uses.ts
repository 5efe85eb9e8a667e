import type { ParseOptions } from './engine.js'
import { hasArguments, isScoped, simpleName, type Node } from './syntax.js'

/** What a hole takes from the place it stands in. Also part of precompiled templates. */
export interface HoleUses {
  /** How many contexts up it looks: 0 its own, 1 as `../`. -1: none. */
  readonly context: number
  /** Some path that looks there. */
  readonly path: string | undefined
  /** Names without arguments: helpers, or else of the context. */
  readonly names: readonly string[]
  /** Helpers that are called with arguments. */
  readonly helpers: readonly string[]
  /** Data variables, each with how many frames up. */
  readonly data: readonly (readonly [number, string])[]
  /** Block parameters, each with how many blocks up, 0 being the one around it. */
  readonly blockParams: readonly (readonly [number, string])[]
  /** Whether it calls partials, which see what is around the hole too. */
  readonly callsPartials: boolean
  /** Those it names. */
  readonly partials: readonly string[]
  /** Whether it names any by an expression. */
  readonly namesByExpression: boolean
}

/** Names of data that a loop sets again with every turn. */
export const LOOP_DATA: readonly string[] = ['index', 'key', 'first', 'last']

/** Helpers of Handlebars that render their block in a context of its own. */
const CONTEXT_BLOCKS = ['each', 'with']

/** Helpers that only hand their context on. */
export const BUILT_IN: readonly string[] = [
  'each',
  'with',
  'if',
  'unless',
  'lookup',
  'log',
  'cache',
  'nocache',
]

/** Where a node stands inside a hole. */
interface Spot {
  /** Blocks of the hole that have a context of their own. */
  readonly contexts: number
  /** Loops of the hole. */
  readonly loops: number
  /** Block parameters of the hole's own blocks. */
  readonly params: readonly string[]
}

/**
 * Finds out what a hole takes from its surroundings.
 *
 * @param program - Its body.
 * @param around - The block parameters of the blocks around it, the innermost first.
 */
export function usesOf(
  program: Node,
  around: readonly (readonly string[] | null | undefined)[],
  options: ParseOptions,
): HoleUses {
  const scan = new UseScan(around, options)
  scan.visitProgram(program, { contexts: 0, loops: 0, params: [] })
  return scan.uses
}

class UseScan {
  #context = -1
  #path: string | undefined
  #callsPartials = false
  #namesByExpression = false
  readonly #partials = new Set<string>()
  readonly #names = new Set<string>()
  readonly #helpers = new Set<string>()
  readonly #data = new Map<string, readonly [number, string]>()
  readonly #blockParams = new Map<string, readonly [number, string]>()
  readonly #around: readonly (readonly string[] | null | undefined)[]
  readonly #options: ParseOptions

  constructor(around: readonly (readonly string[] | null | undefined)[], options: ParseOptions) {
    this.#around = around
    this.#options = options
  }

  get uses(): HoleUses {
    return {
      context: this.#context,
      path: this.#path,
      names: [...this.#names],
      helpers: [...this.#helpers],
      data: [...this.#data.values()],
      blockParams: [...this.#blockParams.values()],
      callsPartials: this.#callsPartials,
      partials: [...this.#partials],
      namesByExpression: this.#namesByExpression,
    }
  }

  visitProgram(program: Node | null | undefined, spot: Spot): void {
    if (program === null || program === undefined) return
    const params = program.blockParams
    const inner = params?.length ? { ...spot, params: [...params, ...spot.params] } : spot
    for (const statement of program.body ?? []) this.#visit(statement, inner)
  }

  #visit(node: Node, spot: Spot): void {
    switch (node.type) {
      case 'MustacheStatement':
      case 'SubExpression':
        this.#visitCall(node, spot)
        return
      case 'BlockStatement':
        this.#visitCall(node, spot)
        this.#visitBlocks(node, spot)
        return
      case 'PathExpression':
        this.#visitPath(node, spot)
        return
      case 'PartialStatement':
      case 'PartialBlockStatement':
        this.#visitPartial(node, spot)
        return
      case 'Decorator':
      case 'DecoratorBlock':
        this.#visitArguments(node, spot)
        this.visitProgram(node.program, spot)
        return
      default:
    }
  }

  #visitCall(node: Node, spot: Spot): void {
    const path = node.path as Node
    this.#visitArguments(node, spot)
    const name = simpleName(path)
    if (name === undefined || spot.params.includes(name) || this.#isAround(name)) {
      this.#visitPath(path, spot)
    } else if (hasArguments(node) || this.#isKnown(name)) {
      this.#helpers.add(name)
    } else if (this.#options.knownHelpersOnly === true) {
      this.#visitPath(path, spot)
    } else if (spot.contexts === 0) {
      this.#names.add(name)
      this.#path ??= name
    }
  }

  #visitBlocks({ path, program, inverse }: Node, spot: Spot): void {
    const name = simpleName(path as Node)
    const hasContext = name !== undefined && CONTEXT_BLOCKS.includes(name)
    this.visitProgram(
      program,
      hasContext
        ? {
            ...spot,
            contexts: spot.contexts + 1,
            loops: spot.loops + (name === 'each' ? 1 : 0),
          }
        : spot,
    )
    this.visitProgram(inverse, spot)
  }

  #visitArguments({ params, hash }: Node, spot: Spot): void {
    for (const param of params ?? []) this.#visit(param, spot)
    for (const { value } of hash?.pairs ?? []) this.#visit(value, spot)
  }

  #visitPartial(node: Node, spot: Spot): void {
    const name = node.name as Node
    this.#callsPartials = true
    this.#visitArguments(node, spot)
    if (name.type === 'SubExpression') {
      this.#namesByExpression = true
      this.#visit(name, spot)
    } else if (name.original === '@partial-block') this.#addData(0, 'partial-block')
    else this.#partials.add(String(name.original))
    const isGiven = node.params?.length !== 0 || this.#options.explicitPartialContext === true
    if ((!isGiven || Boolean(node.hash)) && spot.contexts === 0) {
      this.#addContext(0, `> ${String(name.original)}`)
    }
    this.visitProgram(node.program, spot)
  }

  #visitPath(path: Node, spot: Spot): void {
    const { parts = [String(path.original)], depth = 0, original } = path
    const [first] = parts
    if (path.data === true) {
      if (first !== undefined) this.#visitData(depth, first, spot)
      return
    }
    if (first !== undefined && !depth && !isScoped(path)) {
      if (spot.params.includes(first)) return
      const level = this.#around.findIndex((params) => params?.includes(first))
      if (level >= 0) {
        this.#blockParams.set(`${level} ${first}`, [level, first])
        return
      }
    }
    if (depth >= spot.contexts) this.#addContext(depth, String(original))
  }

  #visitData(depth: number, name: string, { loops }: Spot): void {
    const isLoops = LOOP_DATA.includes(name)
    if (isLoops && depth < loops) return
    // A frame holds all that the frames around it hold.
    this.#addData(Math.max(depth - loops, 0), name)
  }

  #addData(depth: number, name: string): void {
    this.#data.set(`${depth} ${name}`, [depth, name])
  }

  #addContext(depth: number, path: string): void {
    if (depth <= this.#context) return
    this.#context = depth
    this.#path = path
  }

  #isAround(name: string): boolean {
    return this.#around.some((params) => params?.includes(name))
  }

  #isKnown(name: string): boolean {
    return BUILT_IN.includes(name) || this.#options.knownHelpers?.[name] === true
  }
}
