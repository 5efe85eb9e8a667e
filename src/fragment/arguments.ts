import type { TagPosition } from '../errors.js'
import { checkKeyword, faults, type Keyword } from './faults.js'
import { toTimeout } from './spec.js'
import { warnOfFragment } from './warnings.js'

/** How an engine writes expressions. */
export interface ArgumentSyntax {
  /** Characters that delimit texts. A backtick may hold `${…}`. */
  readonly quotes: string
  /** Whether a bar applies a filter and joins the expressions on both its sides. */
  readonly filterBar: boolean
  /** Words that are operators, and never an argument on their own. */
  readonly operatorWords: readonly string[]
  /** Whether `/* … *\/` is a comment. */
  readonly comments: boolean
}

/** The source of one argument. */
export interface ArgumentSource {
  readonly text: string
  /** The offset in the tag's arguments. */
  readonly offset: number
}

/**
 * A tag's arguments, split but not evaluated: as sources, or as what an engine compiles them to.
 */
export interface TagArguments<Argument = ArgumentSource> {
  readonly timeout: Argument
  /** The fragment's name. */
  readonly name: string
  readonly varyOn: readonly Argument[]
  readonly keywords: ReadonlyMap<Keyword, Argument>
}

/**
 * Splits the arguments of a cache tag: by white space outside quotes and brackets or, if there is a comma at
 * the top level, by commas.
 *
 * @param source - The text between the tag's name and its end.
 * @throws CacheTagError: every fault that can be found without evaluating anything.
 */
export function parseTagArguments(
  source: string,
  dialect: ArgumentSyntax,
  position: TagPosition = {},
): TagArguments {
  const scan = new Scanner(source, dialect, position)
  const byCommas = scan.hasTopLevelComma()
  const pieces = byCommas ? scan.splitAtCommas() : scan.splitAtSpaces()
  if (byCommas) for (const { text } of pieces) checkSeparators(text, dialect, position)
  const [timeout, nameSource, ...rest] = pieces
  if (timeout === undefined || nameSource === undefined) throw faults.tooFewArguments(position)
  if (keywordOf(timeout) !== undefined || keywordOf(nameSource) !== undefined) {
    throw faults.tooFewArguments(position)
  }
  const name = unquote(nameSource.text)
  if (name === '') throw faults.name(name, position)
  const at = { ...position, fragment: name }
  checkLiteralTimeout(timeout.text, at)
  const varyOn: ArgumentSource[] = []
  const keywords = new Map<Keyword, ArgumentSource>()
  for (const piece of rest) {
    const keyword = keywordOf(piece)
    if (keyword === undefined) {
      if (!byCommas) checkOperators(piece.text, dialect, at)
      if (keywords.size > 0) throw faults.valueAfterKeyword(piece.text, at)
      varyOn.push(piece)
      continue
    }
    checkKeyword(keyword.name, at)
    if (keyword.value.text === '') throw faults.keywordWithoutValue(keyword.name, at)
    if (keywords.has(keyword.name)) throw faults.repeatedKeyword(keyword.name, at)
    keywords.set(keyword.name, keyword.value)
  }
  if (!byCommas) checkOperators(timeout.text, dialect, at)
  if (name === nameSource.text) warnOfName(name, timeout.text, varyOn.length === 0, at)
  return { timeout, name, varyOn, keywords }
}

const NAMES = { type: 'FragmentNameWarning', code: 'FRAGCACHE_FRAGMENT_NAME' }

/**
 * A name without quotes may be an argument that is in the wrong place.
 *
 * @param isAlone - No values are behind it.
 */
function warnOfName(name: string, timeout: string, isAlone: boolean, position: TagPosition): void {
  if (isAlone && /^\d+$/.test(name)) {
    const text = /^\d+$/.test(timeout)
      ? `its name is a number, and all share one fragment; the name comes before the values: cache ${timeout} NAME ${name}`
      : `its name is a number; the timeout comes first: cache ${name} NAME`
    warnOfFragment(NAMES, position, 'number', text)
  } else if (IS_EXPRESSION.test(name) || (isAlone && IS_PATH.test(name))) {
    const text = `its name looks like a value, and is taken as it is written, so that all share one fragment; the name comes before the values: cache 60 NAME ${name}. Put it in quotes if it is meant so`
    warnOfFragment(NAMES, position, 'path', text)
  }
}

/** With values behind it, it may well be a name of two parts. */
const IS_PATH = /^[\w$]+(?:\.[\w$]+)+$/
const IS_EXPRESSION = /[|()[\]{}?@`+*=<>"']/

/** Compiles what {@link parseTagArguments} returned. @throws What `compile` throws. */
export function compileArguments<Argument>(
  { timeout, name, varyOn, keywords }: TagArguments,
  compile: (source: ArgumentSource) => Argument,
): TagArguments<Argument> {
  return {
    timeout: compile(timeout),
    name,
    varyOn: varyOn.map(compile),
    keywords: new Map(Array.from(keywords, ([keyword, source]) => [keyword, compile(source)])),
  }
}

/**
 * Splits the values that a nocache tag names, by white space or commas as the arguments of a cache tag.
 *
 * @throws CacheTagError: a value is not of the form `name=value`, or a name occurs twice.
 */
export function parseNamedValues(
  source: string,
  dialect: ArgumentSyntax,
  position: TagPosition = {},
): ReadonlyMap<string, ArgumentSource> {
  const scan = new Scanner(source, dialect, position)
  const byCommas = scan.hasTopLevelComma()
  const values = new Map<string, ArgumentSource>()
  for (const piece of byCommas ? scan.splitAtCommas() : scan.splitAtSpaces()) {
    if (byCommas) checkSeparators(piece.text, dialect, position)
    const named = keywordOf(piece)
    if (named === undefined) throw faults.unnamedValue(piece.text, position)
    const { name, value } = named
    if (value.text === '') throw faults.keywordWithoutValue(name, position)
    if (values.has(name)) throw faults.repeatedKeyword(name, position)
    if (!byCommas) checkOperators(value.text, dialect, position)
    values.set(name, value)
  }
  return values
}

function keywordOf(
  piece: ArgumentSource,
): { readonly name: string; readonly value: ArgumentSource } | undefined {
  const match = /^([A-Za-z_]\w*)\s*=(?![=>])\s*/.exec(piece.text)
  if (match === null) return undefined
  const begin = match[0].length
  const value = { text: piece.text.slice(begin), offset: piece.offset + begin }
  return { name: match[1] as string, value }
}

/** Quotes delimit a name and are no part of it, so that a fragment has one key in all engines. */
export function unquote(text: string): string {
  const quote = text[0]
  if ((quote !== '"' && quote !== "'") || text.length < 2 || !text.endsWith(quote)) return text
  const inner = text.slice(1, -1)
  return /^(?:[^\\]|\\.)*$/s.test(inner) && !hasBareQuote(inner, quote)
    ? inner.replace(/\\(.)/gs, '$1')
    : text
}

function hasBareQuote(inner: string, quote: string): boolean {
  for (let i = 0; i < inner.length; i++) {
    if (inner[i] === '\\') i++
    else if (inner[i] === quote) return true
  }
  return false
}

/** A timeout written out can be checked before anything is rendered. */
function checkLiteralTimeout(text: string, position: TagPosition): void {
  if (/^[+-]?\d[\w.]*$/.test(text)) toTimeout(text.includes('.') ? Number(text) : text, position)
  else if (/^(["'])[^"'\\]*\1$/.test(text)) toTimeout(text.slice(1, -1), position)
}

const OPERATOR_ONLY = /^(?:[-+*/%<>=&|^?:!~]+|\.+)$/
const ENDS_IN_OPERATOR = /(?:[^+]\+|[^-]-|[*%<>=&|^?:!~])$/
const BEGINS_WITH_OPERATOR = /^(?:[*%<>=&|^?:]|\/(?=[\w\s(]))/

function checkOperators(text: string, dialect: ArgumentSyntax, position: TagPosition): void {
  if (OPERATOR_ONLY.test(text) || dialect.operatorWords.includes(text)) {
    throw faults.bareOperator(text, position)
  }
  const bad = ENDS_IN_OPERATOR.exec(text) ?? BEGINS_WITH_OPERATOR.exec(text)
  if (bad !== null) throw faults.bareOperator(text, position)
}

const CONTINUES = /^[-+*/%<>=&|^?:!~.([`]/
const IS_CONTINUED = /[-+*/%<>=&|^?:!~.]$/

/** An argument between commas may have spaces in it, but they must not be where a comma is missing. */
function checkSeparators(text: string, dialect: ArgumentSyntax, position: TagPosition): void {
  const parts = new Scanner(text, dialect, position).splitAtSpaces()
  const isWord = (part: string) => dialect.operatorWords.includes(part)
  parts.slice(1).forEach(({ text: part }, i) => {
    const before = (parts[i] as ArgumentSource).text
    const isOneExpression =
      CONTINUES.test(part) || IS_CONTINUED.test(before) || isWord(part) || isWord(before)
    if (!isOneExpression) throw faults.mixedSeparators(text, position)
  })
}

const CLOSING: Readonly<Record<string, string>> = { '(': ')', '[': ']', '{': '}' }

/** Walks over a tag's source, stepping over texts, comments and brackets as wholes. */
class Scanner {
  readonly #source: string
  readonly #dialect: ArgumentSyntax
  readonly #position: TagPosition

  constructor(source: string, dialect: ArgumentSyntax, position: TagPosition) {
    this.#source = source
    this.#dialect = dialect
    this.#position = position
  }

  hasTopLevelComma(): boolean {
    for (let at = 0; at < this.#source.length; at = this.#skip(at)) {
      if (this.#source[at] === ',') return true
    }
    return false
  }

  splitAtCommas(): ArgumentSource[] {
    const pieces: ArgumentSource[] = []
    let begin = 0
    for (let at = 0; at <= this.#source.length; at = this.#skip(at)) {
      if (at < this.#source.length && this.#source[at] !== ',') continue
      const piece = this.#trim(begin, at)
      if (piece.text === '') throw faults.emptyArgument(this.#position)
      pieces.push(piece)
      begin = at + 1
    }
    return pieces
  }

  splitAtSpaces(): ArgumentSource[] {
    const pieces: ArgumentSource[] = []
    let begin = -1
    let end = 0
    for (let at = 0; at < this.#source.length; at = this.#skip(at)) {
      if (this.#isSpace(at)) continue
      if (begin < 0) begin = at
      else if (end < at && !this.#isBound(end, at)) {
        pieces.push(this.#trim(begin, end))
        begin = at
      }
      end = this.#skip(at)
    }
    if (begin >= 0) pieces.push(this.#trim(begin, end))
    return pieces
  }

  /** Whether a filter's bar stands on either side of the space, so that it separates nothing. */
  #isBound(end: number, next: number): boolean {
    return this.#dialect.filterBar && (this.#isBar(end - 1) || this.#isBar(next))
  }

  /** Whether a single bar is there; two are an operator. */
  #isBar(at: number): boolean {
    const source = this.#source
    return source[at] === '|' && source[at - 1] !== '|' && source[at + 1] !== '|'
  }

  #isSpace(at: number): boolean {
    return /\s/.test(this.#source[at] as string) || this.#commentEnd(at) !== undefined
  }

  #commentEnd(at: number): number | undefined {
    if (!this.#dialect.comments || !this.#source.startsWith('/*', at)) return undefined
    const end = this.#source.indexOf('*/', at + 2)
    if (end < 0) throw faults.unclosed('a comment', this.#position)
    return end + 2
  }

  /** The place after whatever begins here. */
  #skip(at: number): number {
    if (at >= this.#source.length) return at + 1
    const character = this.#source[at] as string
    if (this.#dialect.quotes.includes(character)) return this.#skipText(at, character)
    const closing = CLOSING[character]
    if (closing !== undefined) return this.#skipBrackets(at, closing)
    if (character === ')' || character === ']' || character === '}') {
      throw faults.unclosed(`a bracket before ${JSON.stringify(character)}`, this.#position)
    }
    return this.#commentEnd(at) ?? at + 1
  }

  #skipText(at: number, quote: string): number {
    let i = at + 1
    while (i < this.#source.length) {
      const character = this.#source[i]
      if (character === '\\') i += 2
      else if (character === quote) return i + 1
      else if (quote === '`' && this.#source.startsWith('${', i)) i = this.#skip(i + 1)
      else i++
    }
    throw faults.unclosed(`the text that begins with ${quote}`, this.#position)
  }

  #skipBrackets(at: number, closing: string): number {
    let i = at + 1
    while (i < this.#source.length) {
      if (this.#source[i] === closing) return i + 1
      i = this.#skip(i)
    }
    throw faults.unclosed(`the bracket ${this.#source[at] as string}`, this.#position)
  }

  #trim(begin: number, end: number): ArgumentSource {
    const text = this.#source.slice(begin, end)
    const leading = text.length - text.trimStart().length
    return { text: text.trim(), offset: begin + leading }
  }
}
