/** Where two texts differ, in tokens: the content of the one there, and of the other. */
export interface Difference {
  readonly from: number
  readonly to: number
  readonly otherFrom: number
  readonly otherTo: number
}

/** Texts that differ in more tokens are not compared any finer: they have nothing in common. */
const MAX_EDITS = 1000

/** Splits HTML, or any text, into what is compared: all tokens together are the text. */
export function tokensOf(text: string): readonly string[] {
  return text.match(/[\s<>"']|[^\s<>"']+/g) ?? []
}

/** @see Myers, "An O(ND) Difference Algorithm and Its Variations" (1986) */
export function differencesBetween(a: readonly string[], b: readonly string[]): Difference[] {
  let start = 0
  while (start < a.length && start < b.length && a[start] === b[start]) start++
  let end = 0
  const most = Math.min(a.length, b.length) - start
  while (end < most && a.at(-1 - end) === b.at(-1 - end)) end++
  const inA = a.slice(start, a.length - end)
  const inB = b.slice(start, b.length - end)
  if (inA.length === 0 && inB.length === 0) return []
  const whole = { from: 0, to: inA.length, otherFrom: 0, otherTo: inB.length }
  const found = inA.length === 0 || inB.length === 0 ? undefined : finer(inA, inB)
  return (found ?? [whole]).map(({ from, to, otherFrom, otherTo }) => ({
    from: start + from,
    to: start + to,
    otherFrom: start + otherFrom,
    otherTo: start + otherTo,
  }))
}

/** @returns `undefined`: they have too little in common. */
function finer(a: readonly string[], b: readonly string[]): Difference[] | undefined {
  const trace: Map<number, number>[] = []
  // By diagonal, how far into `a` so many edits reach.
  let reach = new Map([[1, 0]])
  for (let edits = 0; edits <= MAX_EDITS; edits++) {
    trace.push(reach)
    const next = new Map<number, number>()
    for (let diagonal = -edits; diagonal <= edits; diagonal += 2) {
      let x = beginsAt(reach, diagonal, edits)
      while (x < a.length && x - diagonal < b.length && a[x] === b[x - diagonal]) x++
      next.set(diagonal, x)
      if (x >= a.length && x - diagonal >= b.length) return walkBack(trace, a.length, b.length)
    }
    reach = next
  }
  return undefined
}

/** Whether the way to a diagonal comes from the one above: by a token of `b` that is not in `a`. */
function comesFromAbove(reach: Map<number, number>, diagonal: number, edits: number): boolean {
  if (diagonal === -edits || diagonal === edits) return diagonal === -edits
  return (reach.get(diagonal - 1) ?? -1) < (reach.get(diagonal + 1) ?? -1)
}

function beginsAt(reach: Map<number, number>, diagonal: number, edits: number): number {
  return comesFromAbove(reach, diagonal, edits)
    ? (reach.get(diagonal + 1) ?? 0)
    : (reach.get(diagonal - 1) ?? 0) + 1
}

function walkBack(trace: readonly Map<number, number>[], x: number, y: number): Difference[] {
  const found: Difference[] = []
  for (let edits = trace.length - 1; edits > 0; edits--) {
    const reach = trace[edits] as Map<number, number>
    const diagonal = x - y
    const isAbove = comesFromAbove(reach, diagonal, edits)
    const before = diagonal + (isAbove ? 1 : -1)
    const fromX = reach.get(before) ?? 0
    const fromY = fromX - before
    const edit = {
      from: fromX,
      to: isAbove ? fromX : fromX + 1,
      otherFrom: fromY,
      otherTo: isAbove ? fromY + 1 : fromY,
    }
    const last = found.at(-1)
    // Edits that touch each other are one difference.
    if (last?.from === edit.to && last.otherFrom === edit.otherTo) {
      found[found.length - 1] = { ...last, from: edit.from, otherFrom: edit.otherFrom }
    } else found.push(edit)
    x = fromX
    y = fromY
  }
  return found.reverse()
}
