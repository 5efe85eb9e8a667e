import { CacheTagError, type TagPosition } from '../../src/errors.js'
import {
  parseTagArguments,
  type ArgumentSource,
  type TagArguments,
} from '../../src/fragment/arguments.js'
import { faults } from '../../src/fragment/faults.js'
import { etaFaults } from './faults.js'
import { findTemplate, LineFinder } from './position.js'
import { argumentsOf, DIALECT, endOf } from './tag.js'
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
): AstNode[] {
  if (!ast.some(isCacheTag)) return [...ast]
  try {
    return new Rewriter(ast, source, config, undefined).rewrite()
  } catch (error) {
    const template = error instanceof CacheTagError ? findTemplate(source, config) : undefined
    if (template === undefined) throw error
    // Once more, for the same fault with the template's name.
    return new Rewriter(ast, source, config, template).rewrite()
  }
}

function isCacheTag(node: AstNode): boolean {
  if (typeof node === 'string' || node.t !== 'e') return false
  const code = codeOf(node)
  return argumentsOf(code) !== undefined || endOf(code) !== undefined
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
  awaits: boolean
  nests: boolean
  /** Whether a generator function begins in the body, which a yield then belongs to. */
  holdsGenerator: boolean
}

class Rewriter {
  readonly #ast: readonly AstNode[]
  readonly #rewritten: AstNode[]
  readonly #lines: LineFinder | undefined
  readonly #template: string | undefined
  readonly #exposed: boolean
  readonly #open: OpenTag[] = []
  #count = 0

  constructor(
    ast: readonly AstNode[],
    source: string | undefined,
    config: EtaConfig,
    template: string | undefined,
  ) {
    this.#ast = ast
    this.#rewritten = [...ast]
    this.#lines = source === undefined ? undefined : new LineFinder(source, config)
    this.#template = template
    this.#exposed = ast.some((node) => typeof node !== 'string' && /\b__eta\b/.test(codeOf(node)))
  }

  rewrite(): AstNode[] {
    this.#ast.forEach((node, at) => {
      if (typeof node !== 'string') this.#visit(node, at)
    })
    const unclosed = this.#open.at(-1)
    if (unclosed !== undefined) throw faults.missingEnd(unclosed.position)
    // However the template is left, nothing of its fragments goes on behind its back.
    const lineNo = this.#ast.findLast((node) => typeof node !== 'string')?.lineNo
    return [
      { t: 'e', val: 'try{', lineNo: 1 },
      ...this.#rewritten,
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
    const args = node.t === 'e' ? argumentsOf(code) : undefined
    if (args !== undefined) {
      this.#begin(args, at, position)
      return
    }
    const name = node.t === 'e' ? endOf(code) : undefined
    if (name === undefined) this.#body(code)
    else this.#end(name, node, at, position)
  }

  #begin(source: string, at: number, position: TagPosition): void {
    this.#body(source)
    const args = parseTagArguments(source, DIALECT, position)
    const named = { ...position, fragment: args.name }
    for (const { text } of [args.timeout, ...args.varyOn, ...args.keywords.values()]) {
      checkExpression(text, named)
    }
    const unknown = { awaits: false, nests: false, holdsGenerator: false }
    this.#open.push({ at, args, position: named, ...unknown })
  }

  #body(code: string): void {
    const around = this.#open.at(-1)
    if (around === undefined) return
    if (/\bawait\b/.test(code)) around.awaits = true
    around.holdsGenerator ||= GENERATOR.test(code)
    if (!around.holdsGenerator && holdsYield(code)) throw etaFaults.yields(around.position)
  }

  #end(name: string, node: TagNode, at: number, position: TagPosition): void {
    const tag = this.#open.pop()
    if (tag === undefined) throw faults.strayEnd(position)
    if (name !== '' && name !== tag.args.name) throw faults.wrongEnd(name, position)
    const outer = this.#open.at(-1)
    if (outer !== undefined) {
      outer.nests = true
      outer.awaits ||= tag.awaits
    }
    const variable = `${RUNTIME}${this.#count++}`
    const begin = this.#ast[tag.at] as TagNode
    this.#rewritten[tag.at] = { ...begin, val: this.#beginCode(variable, tag) }
    this.#rewritten[at] = { ...node, val: endCode(variable) }
  }

  #beginCode(variable: string, { args, position, awaits, nests }: OpenTag): string {
    const { fragment = '', line } = position
    const tag: CompiledTag = { fragment, line, awaits, nests, exposed: this.#exposed }
    // A template object is one and the same whenever the code runs: what is made once hangs on it.
    const site = `${RUNTIME}.site\`${escapeTemplate(JSON.stringify(tag))}\``
    return (
      `{const ${variable}=${RUNTIME}.open(${site},${valuesCode(args)});if(${variable}!==null){` +
      // In a function that is not async, await is no keyword but an unknown variable.
      `if(${variable}.waits)try{await (${variable}.wait())}catch{}` +
      `if(${variable}.begin())try{`
    )
  }
}

function endCode(variable: string): string {
  const caught = catchCode(`${variable}.fail(${RUNTIME}Error)`)
  return `;${variable}.done=true}${caught}finally{${variable}.end()}}}`
}

function catchCode(action: string): string {
  return `catch(${RUNTIME}Error){${action};throw ${RUNTIME}Error}`
}

function valuesCode({ timeout, varyOn, keywords }: TagArguments): string {
  const values = [
    `timeout:${/^none$/i.test(timeout.text) ? 'null' : expression(timeout)}`,
    `varyOn:[${varyOn.map(expression).join(',')}]`,
  ]
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

const GENERATOR = /function\s*\*|(?:^|[{},;\s])\*\s*[\w$[]/

/** Whether code holds the keyword, outside of texts and comments. */
function holdsYield(code: string): boolean {
  if (!code.includes('yield')) return false
  const bare = code.replace(
    /\/\*[^]*?\*\/|\/\/.*|"(?:\\[^]|[^"\\])*"|'(?:\\[^]|[^'\\])*'|`(?:\\[^]|[^`\\])*`/g,
    '',
  )
  return /(?<![.\w$])yield(?![\w$]|\s*:)/.test(bare)
}
