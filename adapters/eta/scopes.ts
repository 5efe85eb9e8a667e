import { tokenize, type Token } from './javascript.js'

/**
 * A stretch of a template in which names may be declared: whatever is in brackets, and the bodies
 * of cache and nocache tags.
 */
export class Scope {
  readonly names = new Set<string>()

  constructor(
    readonly kind: 'template' | 'block' | 'brackets' | 'function' | 'tag' | 'hole',
    readonly parent: Scope | undefined,
  ) {}

  /** The nearest scope from here outwards that declares a name. */
  find(name: string): Scope | undefined {
    return this.names.has(name) ? this : this.parent?.find(name)
  }

  /** Whether this one is another or inside it. */
  isIn(outer: Scope): boolean {
    return this === outer || (this.parent?.isIn(outer) ?? false)
  }

  /** The nearest of a kind from here outwards, within the innermost function. */
  nearest(kind: Scope['kind']): Scope | undefined {
    if (this.kind === kind) return this
    return this.endsFunction ? undefined : this.parent?.nearest(kind)
  }

  get endsFunction(): boolean {
    return this.kind === 'function' || this.kind === 'hole' || this.kind === 'template'
  }
}

/** A place where a variable is used. */
export interface NameUse {
  readonly name: string
  readonly scope: Scope
  readonly line: number | undefined
}

/** A bracket that is not closed yet. */
interface Open {
  readonly scope: Scope
  /** Where it is; `undefined` after the tag of the template that it is in. */
  place: { readonly tokens: readonly Token[]; readonly at: number } | undefined
  /** The kind of declaration that goes on in it. */
  declares: 'let' | 'var' | undefined
}

const CONTROL = new Set(['if', 'while', 'switch', 'with'])
const CLOSING: Readonly<Record<string, string>> = { '(': ')', '[': ']', '{': '}', '${': '}' }

/**
 * Reads the JavaScript of a template, tag by tag, for what is declared and used where. Where only a
 * full parser could tell, it takes a name for declared rather than not.
 */
export class ScopeReader {
  readonly uses: NameUse[] = []
  /** The names that are declared by `var` right in a hole. */
  readonly leaks: { readonly name: string; readonly hole: Scope }[] = []
  /** The holes that are left by `return`. */
  readonly returns: Scope[] = []
  #open: Open = open(new Scope('template', undefined))
  readonly #stack: Open[] = []
  /** The names that the next block declares, if it comes at once. */
  #forBlock: { readonly names: Iterable<string>; readonly isFunction: boolean } | undefined
  #expectsBinding = false
  #line: number | undefined

  get scope(): Scope {
    return this.#open.scope
  }

  /** Reads the code of one tag of the template. */
  read(code: string, line: number | undefined): void {
    const tokens = tokenize(code)
    this.#line = line
    this.#open.declares = undefined
    this.#expectsBinding = false
    tokens.forEach((token, at) => this.#readToken(token, tokens, at))
    for (const one of [...this.#stack, this.#open]) one.place = undefined
  }

  /** A body begins. */
  enter(kind: 'tag' | 'hole'): Scope {
    this.#push(new Scope(kind, this.scope))
    return this.scope
  }

  /** It ends. @returns Whether all brackets in it are closed, and none from before it. */
  leave(scope: Scope): boolean {
    if (this.scope === scope) {
      this.#pop()
      return true
    }
    while (this.scope.isIn(scope)) this.#pop()
    return false
  }

  #push(scope: Scope, place?: Open['place']): void {
    this.#stack.push(this.#open)
    this.#open = open(scope, place)
  }

  #pop(): Open {
    const closed = this.#open
    this.#open = this.#stack.pop() ?? open(new Scope('template', undefined))
    return closed
  }

  #readToken(token: Token, tokens: readonly Token[], at: number): void {
    const { kind, text } = token
    const next = tokens[at + 1]?.text
    if (kind === 'name') this.#readName(tokens, at)
    else if (kind === 'keyword') this.#readKeyword(text, tokens, at)
    if (kind !== 'punctuator') return
    if (text in CLOSING) this.#openBracket(text, tokens, at)
    else if (text === ')' || text === ']' || text === '}') this.#closeBracket(tokens, at)
    else if (text === ',') this.#expectsBinding = this.#open.declares !== undefined
    else if (text === ';') this.#open.declares = undefined
    else if (text === '=>' && next !== '{') this.#declareForBlock()
  }

  #readKeyword(text: string, tokens: readonly Token[], at: number): void {
    const next = tokens[at + 1]
    if (text === 'in') this.#open.declares = undefined
    if (
      text === 'const' ||
      text === 'var' ||
      (text === 'let' && /^[\w$[{]/u.test(next?.text ?? ''))
    ) {
      this.#open.declares = text === 'var' ? 'var' : 'let'
      this.#expectsBinding = true
    }
    if (text === 'class' && next?.kind === 'name') this.scope.names.add(next.text)
    if (text === 'function') {
      const name = next?.text === '*' ? tokens[at + 2] : next
      if (name?.kind === 'name') this.#declareVar(name.text)
    }
    const hole = text === 'return' ? this.scope.nearest('hole') : undefined
    if (hole !== undefined) this.returns.push(hole)
  }

  #readName(tokens: readonly Token[], at: number): void {
    const name = (tokens[at] as Token).text
    const before = tokens[at - 1]?.text
    const next = tokens[at + 1]?.text
    if (before === '.' || before === '?.') return
    if (name === 'of' && this.#open.declares !== undefined && !this.#expectsBinding) {
      this.#open.declares = undefined
      return
    }
    if (this.#expectsBinding) {
      this.#expectsBinding = false
      this.#declare([name])
      return
    }
    if (next === '=>') {
      this.#forBlock = { names: [name], isFunction: true }
      return
    }
    const isKey = next === ':' && (before === '{' || before === ',')
    if (!isKey) this.#use(name)
  }

  #use(name: string): void {
    this.uses.push({ name, scope: this.scope, line: this.#line })
  }

  #openBracket(text: string, tokens: readonly Token[], at: number): void {
    if (this.#expectsBinding && (text === '{' || text === '[')) {
      this.#expectsBinding = false
      this.#declare(namesIn(tokens, at + 1))
    }
    const begun = text === '{' ? this.#forBlock : undefined
    if (text === '{') this.#forBlock = undefined
    const kind = text === '{' ? (begun?.isFunction === true ? 'function' : 'block') : 'brackets'
    const scope = new Scope(kind, this.scope)
    for (const name of begun?.names ?? []) scope.names.add(name)
    this.#push(scope, { tokens, at })
  }

  #closeBracket(tokens: readonly Token[], at: number): void {
    // An unmatched bracket is for the engine to complain of.
    if (this.#stack.length === 0 || this.scope.kind === 'hole' || this.scope.kind === 'tag') return
    const { scope, place } = this.#pop()
    const begin = place?.at ?? 0
    const isHere = place?.tokens === tokens
    const next = tokens[at + 1]?.text
    if (tokens[at]?.text !== ')') return
    const before = tokens[begin - 1]?.text ?? ''
    if (isHere && isFor(tokens, begin - 1)) {
      if (next === '{') this.#forBlock = { names: scope.names, isFunction: false }
      else this.#declare(scope.names)
      return
    }
    const isParameters = next === '=>' || (next === '{' && !CONTROL.has(before))
    if (!isParameters) return
    const names = isHere ? namesIn(tokens, begin + 1) : []
    for (const name of names) scope.names.add(name)
    this.#forBlock = { names, isFunction: before !== 'catch' }
  }

  /** What was for a block that does not come is known until the bracket around closes. */
  #declareForBlock(): void {
    for (const name of this.#forBlock?.names ?? []) this.scope.names.add(name)
    this.#forBlock = undefined
  }

  #declare(names: Iterable<string>): void {
    for (const name of names) {
      if (this.#open.declares === 'var') this.#declareVar(name)
      else this.scope.names.add(name)
    }
  }

  /** Such names are known in the whole function. */
  #declareVar(name: string): void {
    for (let scope: Scope | undefined = this.scope; scope !== undefined; scope = scope.parent) {
      scope.names.add(name)
      if (scope.kind === 'hole') this.leaks.push({ name, hole: scope })
      if (scope.endsFunction) return
    }
  }
}

function open(scope: Scope, place?: Open['place']): Open {
  return { scope, place, declares: undefined }
}

function isFor(tokens: readonly Token[], at: number): boolean {
  const text = tokens[at]?.text
  return text === 'for' || (text === 'await' && tokens[at - 1]?.text === 'for')
}

function endOfBrackets(tokens: readonly Token[], begin: number): number {
  let depth = 0
  for (let at = begin; at < tokens.length; at++) {
    const { kind, text } = tokens[at] as Token
    if (kind !== 'punctuator') continue
    if (text in CLOSING) depth++
    else if (/^[)\]}]$/.test(text) && --depth === 0) return at + 1
  }
  return tokens.length
}

/** The names that a pattern, or a list of parameters, declares. */
function namesIn(tokens: readonly Token[], begin: number): string[] {
  const names: string[] = []
  let depth = 0
  for (let at = begin; at < tokens.length; at++) {
    const { kind, text } = tokens[at] as Token
    if (kind === 'name') {
      if (tokens[at + 1]?.text !== ':' && tokens[at - 1]?.text !== '.') names.push(text)
      continue
    }
    if (kind !== 'punctuator') continue
    if (text === '=') at = endOfDefault(tokens, at + 1) - 1
    else if (text in CLOSING) depth++
    else if (/^[)\]}]$/.test(text) && depth-- === 0) return names
  }
  return names
}

/** Where a default value ends. */
function endOfDefault(tokens: readonly Token[], begin: number): number {
  let at = begin
  while (at < tokens.length) {
    const { kind, text } = tokens[at] as Token
    if (kind === 'punctuator') {
      if (text === ',' || /^[)\]}]$/.test(text)) return at
      if (text in CLOSING) {
        at = endOfBrackets(tokens, at)
        continue
      }
    }
    at++
  }
  return at
}
