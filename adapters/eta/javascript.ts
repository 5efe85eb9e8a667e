/** A piece of JavaScript source. */
export interface Token {
  readonly kind: 'name' | 'keyword' | 'punctuator' | 'literal'
  readonly text: string
}

const KEYWORDS = new Set(
  (
    'await break case catch class const continue debugger default delete do else export extends ' +
    'finally for function if import in instanceof let new return super switch this throw try typeof ' +
    'var void while with yield null true false'
  ).split(' '),
)

/** Keywords that stand for a value, after which a slash divides. */
const VALUES = new Set(['this', 'super', 'null', 'true', 'false'])

const SPACE = /\s+/y
const NAME = /#?[$_\p{ID_Start}][$\u200c\u200d\p{ID_Continue}]*/uy
const NUMBER = /\.?\d[\w.]*/y
const TEXT = /"(?:\\[^]|[^"\\])*"|'(?:\\[^]|[^'\\])*'/y
const PATTERN = /\/(?:\\.|\[(?:\\.|[^\]\\\n])*\]|[^/\\[\n])+\/[\w$]*/y
const PUNCTUATOR =
  />>>=|\.\.\.|===|!==|\*\*=|<<=|>>=|>>>|&&=|\|\|=|\?\?=|=>|==|!=|<=|>=|&&|\|\||\?\?|\?\.(?!\d)|\+\+|--|[-+*/%&|^]=|<<|>>|\*\*|[^]/y

/**
 * Splits JavaScript into tokens, without white space and comments. The content of a template literal's `${…}`
 * is between the punctuators `${` and `}`.
 */
export function tokenize(source: string): Token[] {
  const tokens: Token[] = []
  let at = 0

  const take = (pattern: RegExp): string | undefined => {
    pattern.lastIndex = at
    const [text] = pattern.exec(source) ?? []
    if (text !== undefined) at += text.length
    return text
  }

  const skipComment = (): boolean => {
    const close = { '//': '\n', '/*': '*/' }[source.slice(at, at + 2)]
    if (close === undefined) return false
    const end = source.indexOf(close, at + 2)
    at = end < 0 ? source.length : end + close.length
    return true
  }

  const readTemplate = (): void => {
    tokens.push({ kind: 'literal', text: '`' })
    for (at++; at < source.length; at++) {
      if (source[at] === '\\') at++
      else if (source[at] === '`') {
        at++
        return
      } else if (source.startsWith('${', at)) {
        tokens.push({ kind: 'punctuator', text: '${' })
        at += 2
        readCode(true)
        at--
      }
    }
  }

  /** @param isInTemplate - It ends after the brace that closes it. */
  const readCode = (isInTemplate: boolean): void => {
    let depth = 0
    while (at < source.length) {
      if (take(SPACE) !== undefined || skipComment()) continue
      if (source[at] === '`') {
        readTemplate()
        if (tokens.at(-1)?.text === '}') tokens.push({ kind: 'literal', text: '`' })
        continue
      }
      const token = readToken()
      tokens.push(token)
      if (token.text === '{') depth++
      if (token.text === '}' && token.kind === 'punctuator' && depth-- === 0 && isInTemplate) return
    }
  }

  const readToken = (): Token => {
    const name = take(NAME)
    if (name !== undefined) {
      // After a dot any word is a property.
      const isProperty = /^\??\.$/.test(tokens.at(-1)?.text ?? '')
      return { kind: !isProperty && KEYWORDS.has(name) ? 'keyword' : 'name', text: name }
    }
    const literal =
      take(NUMBER) ?? take(TEXT) ?? (canBeginPattern(tokens.at(-1)) ? take(PATTERN) : undefined)
    if (literal !== undefined) return { kind: 'literal', text: literal }
    return { kind: 'punctuator', text: take(PUNCTUATOR) as string }
  }

  readCode(false)
  return tokens
}

/** Whether a slash after a token begins a regular expression. */
function canBeginPattern(before: Token | undefined): boolean {
  if (before === undefined) return true
  if (before.kind === 'keyword') return !VALUES.has(before.text)
  return before.kind === 'punctuator' && !/^(?:[)\]}]|\+\+|--)$/.test(before.text)
}
