import { createHash } from 'node:crypto'
import { CacheTagError, type TagPosition } from '../../src/errors.js'
import {
  parseNamedValues,
  parseTagArguments,
  type ArgumentSource,
  type TagArguments,
} from '../../src/fragment/arguments.js'
import { faults } from '../../src/fragment/faults.js'
import { namesIn } from '../../src/fragment/expression-names.js'
import { templateSource } from './digest.js'
import { etaFaults } from './faults.js'
import { HOLES, type CompiledHole, type CompiledTag, type TemplateSource } from './compiled.js'
import { checkHole, checkHoleCode } from './hole-check.js'
import { tokenize } from './javascript.js'
import { findTemplate, LineFinder } from './position.js'
import { ScopeReader, type Scope } from './scopes.js'
import { RUNTIME, TELLS } from './runtime-name.js'
import { argumentsOf, DIALECT, endOf, nocacheOf } from './tag.js'
import {
  beginCode,
  endCode,
  expression,
  isToldAhead,
  plainValuesCode,
  waitCode,
} from './tag-code.js'
import type { AstNode, EtaConfig, TagNode } from './types.js'

/** How the code of a template ends; it is made to wait where it can. */
export const FINISH = `finally{${RUNTIME}.finish()}`

/**
 * Turns the cache tags of a template into JavaScript, one piece of code for one tag, around a body
 * that stays in place: it may be left by break, continue, return and throw as without the tag.
 *
 * @param source - The template; `undefined` if it is not known.
 * @throws CacheTagError: a tag is written wrongly.
 */
export function rewriteTags(
  ast: readonly AstNode[],
  source: string | undefined,
  config: EtaConfig,
  digests: boolean,
): AstNode[] {
  if (!ast.some(isTag)) return [...ast]
  const given = digests ? templateSource(source ?? JSON.stringify(ast), codeIn(ast)) : undefined
  try {
    return new Rewriter(ast, source, config, given, undefined).rewrite()
  } catch (error) {
    const template = error instanceof CacheTagError ? findTemplate(source, config) : undefined
    if (template === undefined) throw error
    // Once more, for the same fault with the template's name.
    return new Rewriter(ast, source, config, given, template).rewrite()
  }
}

function isTag(node: AstNode): boolean {
  if (typeof node === 'string' || node.t !== 'e') return false
  const code = codeOf(node)
  return (
    argumentsOf(code) !== undefined || endOf(code) !== undefined || nocacheOf(code) !== undefined
  )
}

function codeIn(ast: readonly AstNode[]): string {
  return ast.map((node) => (typeof node === 'string' ? '' : codeOf(node))).join('\n')
}

function codeOf(node: TagNode): string {
  // Eta's types promise a text, but its parser leaves out an empty one.
  return ((node.val as string | undefined) ?? '').trim()
}

/** A tag whose end has not come yet. */
interface OpenTag {
  readonly at: number
  readonly args: TagArguments
  readonly position: TagPosition
  readonly scope: Scope
  awaits: boolean
  nests: boolean
  /** Whether a generator function begins in the body, which a yield then belongs to. */
  holdsGenerator: boolean
}

/** A nocache block whose end has not come yet. */
interface OpenHole {
  readonly at: number
  readonly position: TagPosition
  readonly scope: Scope
  readonly values: ReadonlyMap<string, ArgumentSource>
  readonly index: number
  nests: boolean
}

/** A nocache block, read: it is between two tags of the template. */
interface Hole {
  readonly to: number
  readonly compiled: CompiledHole
}

class Rewriter {
  readonly #ast: readonly AstNode[]
  readonly #rewritten: AstNode[]
  readonly #config: EtaConfig
  readonly #source: TemplateSource | undefined
  readonly #lines: LineFinder | undefined
  readonly #template: string | undefined
  readonly #exposed: boolean
  readonly #open: (OpenTag | OpenHole)[] = []
  /** Reads what is declared where. */
  readonly #reader = new ScopeReader()
  /** By where they begin. */
  readonly #holes = new Map<number, Hole>()
  /** Checks to be made once all is read. */
  readonly #late: (() => void)[] = []
  /** Code of the tags that can be told ahead. */
  readonly #told: string[] = []
  /** The code that returns the tags known ahead. */
  readonly #sites: string[] = []
  #count = 0
  #holeCount = 0

  constructor(
    ast: readonly AstNode[],
    source: string | undefined,
    config: EtaConfig,
    digested: TemplateSource | undefined,
    template: string | undefined,
  ) {
    this.#ast = ast
    this.#rewritten = [...ast]
    this.#config = config
    this.#source = digested
    this.#lines = source === undefined ? undefined : new LineFinder(source, config)
    this.#template = template
    this.#exposed = ast.some((node) => typeof node !== 'string' && /\b__eta\b/.test(codeOf(node)))
  }

  rewrite(): AstNode[] {
    this.#ast.forEach((node, at) => {
      if (typeof node !== 'string') this.#visit(node, at)
    })
    const unclosed = this.#open.at(-1)
    if (unclosed !== undefined) {
      throw 'args' in unclosed
        ? faults.missingEnd(unclosed.position)
        : etaFaults.missingHoleEnd(unclosed.position)
    }
    for (const check of this.#late) check()
    // However the template is left, nothing of its fragments goes on behind its back.
    const lineNo = this.#ast.findLast((node) => typeof node !== 'string')?.lineNo
    return [
      { t: 'e', val: `try{${commentOf(this.#holes)}`, lineNo: 1 },
      ...this.#entries(),
      ...this.#slice(0, this.#ast.length),
      {
        t: 'e',
        val: `;}}catch(${RUNTIME}Error){${RUNTIME}.failed={error:${RUNTIME}Error};throw ${RUNTIME}Error}${FINISH}`,
        ...(lineNo && { lineNo }),
      },
    ]
  }

  #visit(node: TagNode, at: number): void {
    const code = codeOf(node)
    const position = { template: this.#template, line: this.#lines?.lineOf(node) ?? node.lineNo }
    if (node.t !== 'e') return this.#body(code, position)
    const args = argumentsOf(code)
    if (args !== undefined) return this.#begin(args, at, position)
    const name = endOf(code)
    if (name !== undefined) return this.#end(name, node, at, position)
    const nocache = nocacheOf(code)
    if (nocache === undefined) return this.#body(code, position)
    if (nocache.ends) this.#endHole(nocache.rest, at, position)
    else this.#beginHole(nocache.rest, at, position)
  }

  #begin(source: string, at: number, position: TagPosition): void {
    this.#noteBody(source)
    const args = parseTagArguments(source, DIALECT, position)
    const named = { ...position, fragment: args.name }
    for (const { text } of [args.timeout, ...args.varyOn, ...args.keywords.values()]) {
      checkExpression(text, named)
      this.#reader.read(text, position.line)
    }
    const unknown = { awaits: false, nests: false, holdsGenerator: false }
    const scope = this.#reader.enter('tag')
    this.#open.push({ at, args, position: named, scope, ...unknown })
  }

  #beginHole(source: string, at: number, position: TagPosition): void {
    const reader = this.#reader
    this.#noteBody(source)
    const values = parseNamedValues(source, DIALECT, position)
    for (const { text } of values.values()) {
      checkExpression(text, position)
      reader.read(text, position.line)
    }
    const scope = reader.enter('hole')
    this.#open.push({ at, position, scope, values, index: this.#holeCount++, nests: false })
  }

  #endHole(rest: string, at: number, position: TagPosition): void {
    if (rest !== '') throw etaFaults.holeEndArguments(rest, position)
    const hole = this.#open.pop()
    if (hole === undefined) throw etaFaults.strayHoleEnd(position)
    if ('args' in hole) throw etaFaults.crossing('endnocache', position)
    const reader = this.#reader
    if (!reader.leave(hole.scope)) {
      throw etaFaults.holeCode('a bracket is opened or closed', hole.position)
    }
    const around = this.#open.at(-1)
    if (hole.nests && around !== undefined) around.nests = true
    const { scope, values, index } = hole
    const nodes = this.#ast.slice(hole.at + 1, at)
    checkHoleCode(nodes.map(asBlock), hole.position)
    const id = `${index}-${hashOf([values, nodes], this.#config)}`
    const compiled = { id, line: hole.position.line }
    this.#holes.set(hole.at, { to: at, compiled })
    this.#rewritten[hole.at] = this.#code(hole.at, holeCode(compiled, values, index))
    const read = { scope, names: new Set(values.keys()), position: hole.position }
    this.#late.push(() => checkHole(read, reader, this.#config))
  }

  /** The nocache blocks, which are rendered without the rest of the template. */
  #entries(): AstNode[] {
    // In a block of its own, the template's own names are not theirs.
    const sites = this.#sites.join('') + this.#tellsCode()
    if (this.#holes.size === 0) return [this.#code(undefined, `${sites}{`)]
    const entries = Array.from(this.#holes, ([from, { to, compiled }]) => [
      this.#code(from, `if(${RUNTIME}.asked===${JSON.stringify(compiled.id)}){`),
      ...this.#slice(from + 1, to),
      this.#code(to, '}'),
    ])
    return [
      this.#code(undefined, `${sites}if(${RUNTIME}.asked!==undefined){`),
      ...entries.flat(),
      this.#code(undefined, 'return __eta.res}{'),
    ]
  }

  /** Tells which tags the template is going to meet, as far as that can be told from their arguments alone. */
  #tellsCode(): string {
    return `const ${TELLS}=()=>[${this.#told.join(',')}];`
  }

  #code(at: number | undefined, val: string): AstNode {
    const lineNo = at === undefined ? 1 : (this.#ast[at] as TagNode).lineNo
    return { t: 'e', val, ...(lineNo !== undefined && { lineNo }) }
  }

  /**
   * The rewritten tags and texts from an index to before another, without the content of nocache blocks.
   */
  #slice(from: number, to: number): AstNode[] {
    const nodes: AstNode[] = []
    for (let at = from; at < to; at++) {
      nodes.push(this.#rewritten[at] as AstNode)
      at = this.#holes.get(at)?.to ?? at
    }
    return nodes
  }

  #body(code: string, { line }: TagPosition): void {
    this.#reader.read(code, line)
    this.#noteBody(code)
  }

  #noteBody(code: string): void {
    const around = this.#open.findLast((one) => 'args' in one)
    if (around === undefined) return
    if (/\bawait\b/.test(code)) around.awaits = true
    around.holdsGenerator ||= GENERATOR.test(code)
    if (!around.holdsGenerator && holdsYield(code)) throw etaFaults.yields(around.position)
  }

  #end(name: string, node: TagNode, at: number, position: TagPosition): void {
    const tag = this.#open.pop()
    if (tag === undefined) throw faults.strayEnd(position)
    if (!('args' in tag)) throw etaFaults.crossing('endcache', position)
    if (name !== '' && name !== tag.args.name) throw faults.wrongEnd(name, position)
    this.#reader.leave(tag.scope)
    const around = this.#open.at(-1)
    if (around !== undefined) around.nests = true
    const outer = this.#open.findLast((one) => 'args' in one)
    if (outer !== undefined) {
      outer.nests = true
      outer.awaits ||= tag.awaits
    }
    const variable = `${RUNTIME}${this.#count++}`
    let site = this.#siteCode(tag)
    if (this.#open.length === 0 && isToldAhead(tag.args, this.#config)) {
      // The tag known ahead and the tag that is reached are one and the same.
      this.#sites.push(`const ${variable}Site=()=>${site};`)
      site = `${variable}Site()`
      this.#told.push(`[${site},()=>(${plainValuesCode(tag.args)})]`)
    }
    const begin = this.#ast[tag.at] as TagNode
    this.#rewritten[at] = { ...node, val: endCode(variable, this.#config) }
    const taken = this.#takenInto(tag)
    const val = beginCode(variable, site, tag.args, taken, this.#config)
    this.#rewritten[tag.at] = { ...begin, val }
  }

  /** The template's own variables from in front of a tag that its body, or its vary-on values, name. */
  #takenInto({ args, scope }: OpenTag): ReadonlySet<string> {
    const names = args.varyOn.flatMap(({ text }) => namesIn(text)).map((name) => name.split('.')[0])
    for (const use of this.#reader.uses) if (use.scope.isIn(scope)) names.push(use.name)
    const isTaken = (name = '') => {
      const declared = scope.parent?.find(name)
      return declared !== undefined && name !== this.#config.varName
    }
    return new Set(names.filter((name): name is string => isTaken(name)))
  }

  #siteCode({ args, position, scope, awaits, nests }: OpenTag): string {
    const { fragment = '', line } = position
    const data = `${this.#config.varName}.`
    const named = args.varyOn.flatMap(({ text }) => namesIn(text))
    const isOwn = (name: string) => scope.find(name.split('.')[0] ?? '') !== undefined
    const varyOnNames = named.flatMap((name) => {
      if (name.startsWith(data)) return [name.slice(data.length)]
      // Any other is the template's own, unless it reads its data by names alone.
      return this.#config.useWith && !isOwn(name) ? [name] : []
    })
    const ownNames = named.filter((name) => !name.startsWith(data) && isOwn(name))
    const tag: CompiledTag = {
      fragment,
      line,
      awaits,
      nests,
      exposed: this.#exposed,
      ...(args.keywords.size > 0 && { hasKeywords: true }),
      ...(varyOnNames.length > 0 && { varyOnNames }),
      ...(ownNames.length > 0 && { ownNames }),
      ...(this.#source && { source: this.#source }),
    }
    // A template object is one and the same whenever the code runs: what is made once hangs on it.
    return `${RUNTIME}.site\`${escapeTemplate(JSON.stringify(tag))}\``
  }
}

const AsyncFunction = (async () => undefined).constructor as new (code: string) => unknown

/** What needs no checking: a whole number, a variable's property, a text. */
const PLAIN = /^(?:\d+|[A-Za-z_$][\w$]*(?:\.[A-Za-z_$][\w$]*)*|"[^"\\]*"|'[^'\\]*')$/

/** Eta itself would show the whole compiled template. @throws CacheTagError */
function checkExpression(text: string, position: TagPosition): void {
  if (PLAIN.test(text)) return
  try {
    new AsyncFunction(`return (${text})`)
  } catch (error) {
    throw etaFaults.expression(text, (error as Error).message, position)
  }
}

function escapeTemplate(text: string): string {
  return text.replace(/[\\`]|\$(?=\{)/g, '\\$&')
}

function holeCode(
  hole: CompiledHole,
  values: ReadonlyMap<string, ArgumentSource>,
  index: number,
): string {
  const variable = `${RUNTIME}Hole${index}`
  const named = Array.from(
    values,
    ([name, value]) => `[${JSON.stringify(name)}]:${expression(value)}`,
  )
  const json = escapeTemplate(JSON.stringify(hole))
  return (
    `{const ${variable}=${RUNTIME}.hole\`${json}\${{${named.join(',')}}}\`;` +
    `if(typeof ${variable}==='string')__eta.res+=${variable};else{${waitCode(variable)}}}`
  )
}

function commentOf(holes: ReadonlyMap<number, Hole>): string {
  if (holes.size === 0) return ''
  return `/*${HOLES}${JSON.stringify(Array.from(holes.values(), ({ compiled }) => compiled))} */`
}

/** Tells a nocache block from what it was before it was changed. */
function hashOf(
  [values, nodes]: readonly [ReadonlyMap<string, ArgumentSource>, readonly AstNode[]],
  config: EtaConfig,
): string {
  const parts = nodes.map((node) => (typeof node === 'string' ? node : [node.t, node.val]))
  const named = Array.from(values, ([name, { text }]) => [name, text])
  const hash = createHash('sha256')
  // The same code is another block where another engine escapes or filters otherwise.
  const { varName, functionHeader, useWith, autoEscape, autoFilter } = config
  const functions = [config.escapeFunction, config.filterFunction].map(String)
  const settings = [varName, functionHeader, useWith, autoEscape, autoFilter, functions]
  hash.update(JSON.stringify([settings, named, parts]))
  return hash.digest('hex').slice(0, 12)
}

/** A tag of this package's as the block that it makes, and any other as it is. */
function asBlock(node: AstNode): AstNode {
  if (!isTag(node)) return node
  const code = codeOf(node as TagNode)
  const ends = endOf(code) !== undefined || nocacheOf(code)?.ends === true
  return { t: 'e', val: ends ? '}' : '{' }
}

const GENERATOR = /function\s*\*|(?:^|[{},;\s])\*\s*[\w$[]/

/** Whether code holds the keyword, outside of texts and comments. */
function holdsYield(code: string): boolean {
  if (!code.includes('yield')) return false
  const tokens = tokenize(code)
  return tokens.some(
    ({ kind, text }, at) => kind === 'keyword' && text === 'yield' && tokens[at + 1]?.text !== ':',
  )
}
