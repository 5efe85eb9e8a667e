import { createHash } from 'node:crypto'
import { CacheTagError, type TagPosition } from '../../src/errors.js'
import {
  parseTagArguments,
  type ArgumentSource,
  type TagArguments,
} from '../../src/fragment/arguments.js'
import { faults } from '../../src/fragment/faults.js'
import { templateSource, type TemplateSource } from './digest.js'
import { etaFaults } from './faults.js'
import { HOLES, type CompiledHole } from './compiled-hole.js'
import { checkHole, checkHoleCode, type ReadHole } from './hole-check.js'
import { tokenize } from './javascript.js'
import { findTemplate, LineFinder } from './position.js'
import { ScopeReader, type Scope } from './scopes.js'
import { argumentsOf, DIALECT, endOf, nocacheOf } from './tag.js'
import type { AstNode, EtaConfig, TagNode } from './types.js'

/** What is known of a tag when its template is compiled; handed to the run time as JSON. */
export interface CompiledTag {
  readonly fragment: string
  readonly line?: number | undefined
  /** Whether there may be an `await` in the body. */
  readonly awaits: boolean
  /** Whether there are cache tags in the body. */
  readonly nests: boolean
  /** Whether the template looks at Eta's buffer, which must then hold all that came before. */
  readonly exposed: boolean
  /** Whether there are keywords. */
  readonly hasKeywords?: true
  /** The template's source and the templates it names, for the digest. */
  readonly source?: TemplateSource
}

/** The variable of a template through which its code reaches the run time. */
export const RUNTIME = '__fragcache'

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
  readonly scope: Scope | undefined
  awaits: boolean
  nests: boolean
  /** Whether a generator function begins in the body, which a yield then belongs to. */
  holdsGenerator: boolean
  /** Its outermost cache tag's variable, by which it reaches the blocks that see its variables. */
  readonly closures: Closures | undefined
}

/** A nocache block whose end has not come yet. */
interface OpenHole {
  readonly at: number
  readonly position: TagPosition
  readonly scope: Scope
  readonly index: number
  nests: boolean
}

/** A nocache block, read. */
interface Hole extends ReadHole {
  readonly from: number
  readonly to: number
  readonly index: number
  readonly nests: boolean
  /** Where it is put so that it sees its template's variables. */
  readonly closures: Closures | undefined
  readonly isInHole: boolean
}

/** The nocache blocks in a cache tag that has none around it. */
interface Closures {
  readonly variable: string
  /** Where that tag stands. */
  readonly at: number
  isUsed: boolean
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
  /** Reads what is declared where; only in a template with nocache. */
  readonly #reader: ScopeReader | undefined
  readonly #holes: Hole[] = []
  /** The code of tags, made once all is read. */
  readonly #late: (() => void)[] = []
  /** What comes before the tag at an index. */
  readonly #before = new Map<number, AstNode[]>()
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
    this.#reader = ast.some(isNocache) ? new ScopeReader() : undefined
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
    const holes = this.#writeHoles()
    for (const write of this.#late) write()
    this.#writeClosures(holes)
    // However the template is left, nothing of its fragments goes on behind its back.
    const lineNo = this.#ast.findLast((node) => typeof node !== 'string')?.lineNo
    return [
      { t: 'e', val: `try{${holes.length === 0 ? '' : commentOf(holes)}`, lineNo: 1 },
      ...this.#entries(holes),
      ...this.#slice(0, this.#ast.length),
      {
        t: 'e',
        val: `;}${catchCode(`${RUNTIME}.failed=true`)}${FINISH}`,
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
    if (nocache.rest !== '') throw etaFaults.holeArguments(nocache.rest, position)
    if (nocache.ends) this.#endHole(at, position)
    else this.#beginHole(at, position)
  }

  #begin(source: string, at: number, position: TagPosition): void {
    this.#noteBody(source)
    const args = parseTagArguments(source, DIALECT, position)
    const named = { ...position, fragment: args.name }
    for (const { text } of [args.timeout, ...args.varyOn, ...args.keywords.values()]) {
      checkExpression(text, named)
      this.#reader?.read(text, position.line)
    }
    const around = this.#open.at(-1)
    const closures =
      this.#reader === undefined
        ? undefined
        : around !== undefined && 'args' in around
          ? around.closures
          : { variable: `${RUNTIME}Holes${at}`, at, isUsed: false }
    const unknown = { awaits: false, nests: false, holdsGenerator: false }
    const scope = this.#reader?.enter('tag')
    this.#open.push({ at, args, position: named, scope, closures, ...unknown })
  }

  #beginHole(at: number, position: TagPosition): void {
    const scope = (this.#reader as ScopeReader).enter('hole')
    this.#open.push({ at, position, scope, index: this.#holeCount++, nests: false })
  }

  #endHole(at: number, position: TagPosition): void {
    const hole = this.#open.pop()
    if (hole === undefined) throw etaFaults.strayHoleEnd(position)
    if ('args' in hole) throw etaFaults.crossing('endnocache', position)
    if (!(this.#reader as ScopeReader).leave(hole.scope)) {
      throw etaFaults.holeCode('a bracket is opened or closed', hole.position)
    }
    const around = this.#open.at(-1)
    if (hole.nests && around !== undefined) around.nests = true
    const { index, scope, nests } = hole
    const span = { from: hole.at, to: at, index, scope, nests, position: hole.position }
    this.#holes.push({ ...span, ...this.#around() })
  }

  /** The outermost cache tag around, within the nocache block around if there is one. */
  #around(): Pick<Hole, 'tag' | 'closures' | 'isInHole'> {
    const hole = this.#open.findLastIndex((one) => !('args' in one))
    const tag = this.#open[hole + 1]
    const isInHole = hole >= 0
    return tag !== undefined && 'args' in tag
      ? { tag: tag.scope, closures: tag.closures, isInHole }
      : { tag: undefined, closures: undefined, isInHole }
  }

  /** @returns The blocks that can be rendered by themselves, and what is known of all. */
  #writeHoles(): CompiledHole[] {
    const compiled: CompiledHole[] = []
    for (const hole of this.#holes) {
      const { from, to, index, position, closures } = hole
      const nodes = this.#ast.slice(from + 1, to)
      checkHoleCode(nodes.map(asBlock), position)
      const facts = checkHole(hole, this.#reader as ScopeReader, this.#config)
      if (closures !== undefined) closures.isUsed = true
      const { line } = position
      compiled.push({ ...facts, id: `${index}-${hashOf(nodes, this.#config)}`, line })
      this.#rewritten[from] = this.#code(from, holeCode(compiled.at(-1) as CompiledHole, index))
      this.#rewritten[to] = this.#code(to, '}}')
    }
    return compiled
  }

  /** Puts the blocks of a cache tag before it, where the variables that they use are known. */
  #writeClosures(compiled: readonly CompiledHole[]): void {
    this.#holes.forEach(({ closures, from, to, nests }, i) => {
      const { id, awaits } = compiled[i] as CompiledHole
      if (closures === undefined) return
      const { variable, at } = closures
      const before = this.#before.get(at) ?? [this.#code(at, `{const ${variable}={};`)]
      this.#before.set(at, before)
      const body = this.#slice(from + 1, to)
      const begin = `${variable}[${JSON.stringify(id)}]=`
      // Cache tags in it may wait where the template may.
      const chosen = nests && !awaits
      if (chosen) {
        before.push(this.#code(from, `${begin}${RUNTIME}.asynchronous?async()=>{`), ...body)
        before.push(this.#code(from, '}:()=>{'), ...body)
      } else before.push(this.#code(from, `${begin}${awaits ? 'async' : ''}()=>{`), ...body)
      before.push(this.#code(to, '};'))
    })
  }

  /** The blocks that can be rendered by themselves, without the rest of the template. */
  #entries(compiled: readonly CompiledHole[]): AstNode[] {
    const entries: AstNode[] = []
    this.#holes.forEach(({ from, to, tag, isInHole }, i) => {
      const { id, outer, lost } = compiled[i] as CompiledHole
      // One right inside another is never asked for.
      if (outer !== undefined || lost !== undefined || (isInHole && tag === undefined)) return
      const begin = `if(${RUNTIME}.asked===${JSON.stringify(id)}){`
      const body = this.#slice(from + 1, to)
      entries.push(this.#code(from, begin), ...body, this.#code(to, '}'))
    })
    if (this.#holes.length === 0) return entries
    const [begin, end] = [`if(${RUNTIME}.asked!==undefined){`, `return __eta.res}`]
    return [this.#code(undefined, begin), ...entries, this.#code(undefined, end)]
  }

  #code(at: number | undefined, val: string): AstNode {
    const lineNo = at === undefined ? 1 : (this.#ast[at] as TagNode).lineNo
    return { t: 'e', val, ...(lineNo !== undefined && { lineNo }) }
  }

  /** The rewritten tags and texts from an index to before another. */
  #slice(from: number, to: number): AstNode[] {
    if (this.#before.size === 0) return this.#rewritten.slice(from, to)
    const nodes: AstNode[] = []
    for (let at = from; at < to; at++) {
      nodes.push(...(this.#before.get(at) ?? []), this.#rewritten[at] as AstNode)
    }
    return nodes
  }

  #body(code: string, { line }: TagPosition): void {
    this.#reader?.read(code, line)
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
    if (tag.scope !== undefined) this.#reader?.leave(tag.scope)
    const around = this.#open.at(-1)
    if (around !== undefined) around.nests = true
    const outer = this.#open.findLast((one) => 'args' in one)
    if (outer !== undefined) {
      outer.nests = true
      outer.awaits ||= tag.awaits
    }
    const variable = `${RUNTIME}${this.#count++}`
    const begin = this.#ast[tag.at] as TagNode
    this.#late.push(() => {
      // The block that the closures stand in.
      const isOwn = tag.closures?.isUsed === true && tag.closures.at === tag.at
      this.#rewritten[at] = { ...node, val: endCode(variable) + (isOwn ? '}' : '') }
      this.#rewritten[tag.at] = { ...begin, val: this.#beginCode(variable, tag) }
    })
  }

  #beginCode(variable: string, { args, position, awaits, nests, closures }: OpenTag): string {
    const { fragment = '', line } = position
    const tag: CompiledTag = {
      fragment,
      line,
      awaits,
      nests,
      exposed: this.#exposed,
      ...(args.keywords.size > 0 && { hasKeywords: true }),
      ...(this.#source && { source: this.#source }),
    }
    const holes = closures?.isUsed === true ? `,${closures.variable}` : ''
    // A template object is one and the same whenever the code runs: what is made once hangs on it.
    const site = `${RUNTIME}.site\`${escapeTemplate(JSON.stringify(tag))}\``
    return (
      `{const ${variable}=${RUNTIME}.open(${site},${valuesCode(args)}${holes});if(${variable}!==null){` +
      // In a function that is not async, await is no keyword but an unknown variable.
      `if(${variable}.waits)try{await (${variable}.wait())}catch{}` +
      `if(${variable}.begin())try{`
    )
  }
}

function endCode(variable: string): string {
  const caught = `catch(${RUNTIME}Error){if(!${variable}.fail(${RUNTIME}Error))throw ${RUNTIME}Error}`
  const fill = `if(${variable}.fills){try{await (${variable}.fill())}catch{}${variable}.filled()}`
  return `;${variable}.done=true}${caught}finally{${variable}.end();${fill}}}}`
}

function catchCode(action: string): string {
  return `catch(${RUNTIME}Error){${action};throw ${RUNTIME}Error}`
}

function valuesCode({ timeout, varyOn, keywords }: TagArguments): string {
  const values = [`timeout:${/^none$/i.test(timeout.text) ? 'null' : expression(timeout)}`]
  const list = `[${varyOn.map(expression).join(',')}]`
  // What these read of a visitor, and nothing else does, is what the fragment tells visitors apart by.
  if (varyOn.length === 0 || varyOn.some(({ text }) => /\b(?:await|yield)\b/.test(text))) {
    values.push(`varyOn:${list}`)
  } else {
    values.push(`varyOn:(${RUNTIME}.beginVaryOn(),${list})`, `declared:${RUNTIME}.endVaryOn()`)
  }
  for (const [keyword, value] of keywords) values.push(`${keyword}:${expression(value)}`)
  return `{${values.join(',')}}`
}

function expression({ text }: ArgumentSource): string {
  return `(${text})`
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

function holeCode(hole: CompiledHole, index: number): string {
  const variable = `${RUNTIME}Hole${index}`
  const json = escapeTemplate(JSON.stringify(hole))
  return (
    `{const ${variable}=${RUNTIME}.hole\`${json}\`;` +
    `if(${variable}!==''){__eta.res+=${variable}}else{`
  )
}

function commentOf(holes: readonly CompiledHole[]): string {
  return `/*${HOLES}${JSON.stringify(holes)} */`
}

/** Tells a nocache block from what it was before it was changed. */
function hashOf(nodes: readonly AstNode[], { varName, functionHeader }: EtaConfig): string {
  const parts = nodes.map((node) => (typeof node === 'string' ? node : [node.t, node.val]))
  const hash = createHash('sha256').update(JSON.stringify([varName, functionHeader, parts]))
  return hash.digest('hex').slice(0, 12)
}

function isNocache(node: AstNode): boolean {
  return typeof node !== 'string' && node.t === 'e' && nocacheOf(codeOf(node)) !== undefined
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
