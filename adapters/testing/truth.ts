import { differencesBetween, tokensOf, type Difference } from './differences.js'

/** Tokens from one place to another. */
interface Span {
  readonly from: number
  readonly to: number
}

/** Characters shown on each side of a difference. */
const AROUND = 40
/** Characters shown of the difference itself. */
const SHOWN = 80

/** What a visitor got where it should be something else. */
export interface Wrong {
  readonly expected: string
  readonly got: string
  /** The tokens that are there and should not be. */
  readonly tokens: readonly string[]
}

/**
 * What a visitor gets at a path when nothing is cached: several renders, of which the places that differ among
 * themselves tell nothing, as tokens, times and what is chosen by chance.
 */
export class Truth {
  readonly #first: readonly string[]
  readonly #renders: ReadonlySet<string>[] = []
  readonly #texts: string[] = []
  #volatile: readonly Span[] = []

  constructor(text: string) {
    this.#first = tokensOf(text)
    this.#renders.push(new Set(this.#first))
    this.#texts.push(text)
  }

  /** Adds another render. */
  add(text: string): void {
    const tokens = tokensOf(text)
    this.#renders.push(new Set(tokens))
    this.#texts.push(text)
    const spans = [...this.#volatile, ...differencesBetween(this.#first, tokens)]
    this.#volatile = this.#joined(spans)
  }

  /** Those that touch, or have white space alone between them, are one. */
  #joined(spans: readonly Span[]): Span[] {
    const joined: Span[] = []
    for (const span of spans.toSorted((a, b) => a.from - b.from)) {
      const last = joined.at(-1)
      const between = last === undefined ? ['-'] : this.#first.slice(last.to, span.from)
      if (last === undefined || between.some((token) => token.trim() !== '')) joined.push(span)
      else joined[joined.length - 1] = { from: last.from, to: Math.max(last.to, span.to) }
    }
    return joined
  }

  /** Whether a text is in one render at least. */
  contains(part: string): boolean {
    return this.#texts.some((text) => text.includes(part))
  }

  /** Whether a token is in every render. */
  hasAlways(token: string): boolean {
    return this.#renders.every((tokens) => tokens.has(token))
  }

  /** Whether a token is in one render at least. */
  hasEver(token: string): boolean {
    return this.#renders.some((tokens) => tokens.has(token))
  }

  /**
   * The first place at which an answer is not what it should be.
   *
   * @param others - What other visitors get: what is always theirs and never this visitor's is wrong in the places
   *   that differ by themselves, too.
   */
  wrongIn(text: string, others: readonly Truth[]): Wrong | undefined {
    const tokens = tokensOf(text)
    for (const difference of differencesBetween(this.#first, tokens)) {
      const { otherFrom, otherTo } = difference
      const there = tokens.slice(otherFrom, otherTo)
      const isForeign = (token: string) =>
        token.trim().length > 1 &&
        !this.hasEver(token) &&
        others.some((other) => other.hasAlways(token))
      if (this.#isVolatile(difference) && !there.some(isForeign)) continue
      return {
        expected: excerpt(this.#first, difference.from, difference.to),
        got: excerpt(tokens, otherFrom, otherTo),
        tokens: there,
      }
    }
    return undefined
  }

  #isVolatile({ from, to }: Difference): boolean {
    return this.#volatile.some((span) => span.from <= from && to <= span.to)
  }
}

function excerpt(tokens: readonly string[], from: number, to: number): string {
  const before = tokens.slice(0, from).join('')
  const there = tokens.slice(from, to).join('')
  const after = tokens.slice(to).join('')
  const shown = there.length > SHOWN ? `${there.slice(0, SHOWN)}…` : there
  const start = before.length > AROUND ? `…${before.slice(-AROUND)}` : before
  const end = after.length > AROUND ? `${after.slice(0, AROUND)}…` : after
  return (start + shown + (shown === there ? end : '')).replaceAll(/\s+/g, ' ').trim()
}
