import { setTimeout as delay } from 'node:timers/promises'
import { describe, expect, it } from 'vitest'
import { renderDeferred } from '../../src/fragment/deferred.js'
import { HoleEngine, type Visitor } from './hole-engine.js'

/** A piece of a template. A hole alone may put out what differs per visitor. */
type Piece =
  | { readonly kind: 'text'; readonly text: string }
  | { readonly kind: 'visitor' }
  | {
      readonly kind: 'cache'
      readonly name: string
      readonly using: string
      readonly on: boolean
      readonly body: readonly Piece[]
    }
  | { readonly kind: 'nocache'; readonly name: string; readonly body: readonly Piece[] }

/** Numbers that are the same for the same seed. */
function makeRandom(seed: number): (below: number) => number {
  let state = seed * 2_654_435_761
  return (below) => {
    state = (Math.imul(state ^ (state >>> 15), 2_246_822_519) + 374_761_393) | 0
    return (state >>> 8) % below
  }
}

function makePieces(
  random: (below: number) => number,
  usings: readonly string[],
  depth: number,
  names: { count: number },
  isShared: boolean,
): Piece[] {
  return Array.from({ length: 1 + random(3) }, (): Piece => {
    const kind = depth === 0 ? random(2) : random(5)
    if (kind === 0) return { kind: 'text', text: `t${random(100)}${'<"\'&> '.slice(random(7))}` }
    if (kind === 1) return isShared ? { kind: 'text', text: '|' } : { kind: 'visitor' }
    const name = `n${names.count++}`
    if (kind === 2) {
      const body = makePieces(random, usings, depth - 1, names, false)
      return { kind: 'nocache', name, body }
    }
    const on = random(5) > 0
    const using = usings[random(usings.length)] as string
    return {
      kind: 'cache',
      name,
      using,
      on,
      body: makePieces(random, usings, depth - 1, names, isShared || on),
    }
  })
}

/** What the pieces give without any tag. */
function plain(pieces: readonly Piece[], visitor: Visitor): string {
  return pieces
    .map((piece) =>
      piece.kind === 'text'
        ? piece.text
        : piece.kind === 'visitor'
          ? `(${visitor.name})`
          : plain(piece.body, visitor),
    )
    .join('')
}

function render(engine: HoleEngine, pieces: readonly Piece[], visitor: Visitor): string {
  let text = ''
  for (const piece of pieces) {
    if (piece.kind === 'text') text += piece.text
    else if (piece.kind === 'visitor') text += `(${visitor.name})`
    else if (piece.kind === 'nocache') {
      text += engine.nocache(piece.name, visitor, (v) => render(engine, piece.body, v))
    } else {
      const { name, using, on, body } = piece
      text += engine.tag(name, visitor, () => render(engine, body, visitor), { using, if: on })
    }
  }
  return text
}

/** The same by code that waits; what is in holes is rendered in place. */
async function renderFromCode(
  engine: HoleEngine,
  pieces: readonly Piece[],
  visitor: Visitor,
): Promise<string> {
  let text = ''
  for (const piece of pieces) {
    await delay(0)
    if (piece.kind === 'text') text += piece.text
    else if (piece.kind === 'visitor') text += `(${visitor.name})`
    else if (piece.kind === 'nocache') {
      text += engine.nocache(piece.name, visitor, (v) => plain(piece.body, v))
    } else {
      const { name, using, on, body } = piece
      const holes = engine.holes(visitor)
      text += await engine.fragments.render({ name, timeout: 60, using, if: on, holes }, () =>
        renderFromCode(engine, body, visitor),
      )
    }
  }
  return text
}

/** Makes some fragments again. */
async function forgetSome(
  engine: HoleEngine,
  random: (below: number) => number,
  count: number,
): Promise<void> {
  for (let i = 0; i < 3; i++) {
    const name = `n${random(count + 1)}`
    const using = ['near', 'far'][random(2)] as string
    if (random(2) === 0) await engine.fragments.invalidate(name, { using })
    else await engine.fragments.delete(name, [], { using })
  }
}

const ways = {
  'in place': {
    usings: ['near'],
    run: (engine: HoleEngine, pieces: readonly Piece[], visitor: Visitor) =>
      render(engine, pieces, visitor),
  },
  'in sessions': {
    usings: ['near', 'far'],
    run: (engine: HoleEngine, pieces: readonly Piece[], visitor: Visitor) =>
      renderDeferred(() => render(engine, pieces, visitor)),
  },
  'from code': { usings: ['near', 'far'], run: renderFromCode },
}

describe('any template with fragments and holes in each other', () => {
  it.each(Object.entries(ways))(
    'gives what it gives without them, %s',
    async (_, { usings, run }) => {
      let holes = 0
      for (let seed = 1; seed <= 80; seed++) {
        const random = makeRandom(seed)
        const names = { count: 0 }
        const pieces = makePieces(random, usings, 4, names, false)
        const engine = new HoleEngine()
        for (let round = 0; round < 4; round++) {
          const visitors = Array.from({ length: 3 }, (__, i) => ({ name: `${round}.${i}` }))
          const texts = await Promise.all(
            visitors.map(async (visitor) => run(engine, pieces, visitor)),
          )
          expect(texts, `seed ${seed}, round ${round}`).toEqual(
            visitors.map((visitor) => plain(pieces, visitor)),
          )
          await forgetSome(engine, random, names.count)
        }
        holes += engine.ran.length
      }
      expect(holes).toBeGreaterThan(500)
    },
  )
})
