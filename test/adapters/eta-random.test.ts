import { createCaches, LocMemCache } from 'fragcache'
import { describe, expect, it } from 'vitest'
import { countBodies } from '../conformance/fragment-suite.js'
import { AsyncTestCache } from '../support/async-cache.js'
import { fc, runsOf } from '../support/random.js'
import { etaWith } from './eta-driver.js'

/** A piece of a template, made of the variables in scope and of whether a loop is around. */
type Piece = (scope: Scope) => string

interface Scope {
  readonly variables: readonly string[]
  readonly inLoop: boolean
  readonly inTag: boolean
  readonly asynchronous: boolean
  /** Gives every tag a name of its own. */
  readonly count: { value: number }
}

const condition = ({ variables }: Scope, n: number) =>
  `(${['1', ...variables].join(' + ')}) % 3 === ${n % 3}`

const leaf: fc.Arbitrary<Piece> = fc.oneof(
  fc.constantFrom('a', 'b', '\n', ' <i>', "'").map((text) => () => text),
  fc.nat(2).map(
    (n): Piece =>
      ({ variables }) =>
        `<%= ${variables.at(-1 - n) ?? n} %>`,
  ),
  fc.nat(2).map(
    (n): Piece =>
      (scope) =>
        scope.inLoop ? `<% if (${condition(scope, n)}) break %>` : '',
  ),
  fc.nat(2).map(
    (n): Piece =>
      (scope) =>
        scope.inLoop ? `<% if (${condition(scope, n)}) continue %>` : '',
  ),
  fc.nat(2).map(
    (n): Piece =>
      (scope) =>
        `<% if (${condition(scope, n)}) throw 'thrown' %>`,
  ),
  fc.nat(2).map(
    (n): Piece =>
      (scope) =>
        scope.asynchronous ? `<% if (${condition(scope, n)}) await it.refuse() %>` : '',
  ),
  fc.constant<Piece>(({ asynchronous, variables }) =>
    asynchronous ? `<% await it.wait() %><%= await it.give(${variables.at(-1) ?? 0}) %>` : '.',
  ),
)

const { piece } = fc.letrec<{ piece: Piece; pieces: Piece }>((tie) => ({
  pieces: fc
    .array(tie('piece'), { maxLength: 4 })
    .map((parts) => (scope: Scope) => parts.map((part) => part(scope)).join('')),
  piece: fc.oneof(
    { maxDepth: 4, withCrossShrink: true },
    leaf,
    tie('pieces').map((body): Piece => (scope) => {
      const name = `f${scope.count.value++}`
      const inside = { ...scope, inTag: true }
      return `<% cache 60 ${name} ${scope.variables.join(' ')} %>${body(inside)}<% endcache %>`
    }),
    tie('pieces').map((body): Piece => (scope) => {
      const variable = `v${scope.variables.length}`
      const inside = { ...scope, inLoop: true, variables: [...scope.variables, variable] }
      return `<% for (let ${variable} = 0; ${variable} < 3; ${variable}++) { %>${body(inside)}<% } %>`
    }),
    fc.tuple(tie('pieces'), tie('pieces'), fc.nat(2)).map(
      ([then, otherwise, n]): Piece =>
        (scope) =>
          `<% if (${condition(scope, n)}) { %>${then(scope)}<% } else { %>${otherwise(scope)}<% } %>`,
    ),
    fc.tuple(tie('pieces'), tie('pieces')).map(
      ([attempt, caught]): Piece =>
        (scope) =>
          `<% try { %>${attempt(scope)}<% } catch (error) { %>!${caught(scope)}<% } finally { %>;<% } %>`,
    ),
    tie('pieces').map((body): Piece => (scope) => {
      const inside = { ...scope, inLoop: false }
      return scope.asynchronous
        ? `<% { const text = await captureAsync(async () => { %>${body(inside)}<% }) %>{<%~ text %>}<% } %>`
        : `<% ;[1].forEach(() => { %>${body(inside)}<% }) %>`
    }),
    tie('pieces').map((body): Piece => (scope) => {
      const inside = { ...scope, inLoop: false }
      return scope.asynchronous
        ? `<% { const own = async () => { %>${body(inside)}<% }; await own(); try { %>(<% await own() %>)<% } catch { %>?<% } } %>`
        : `<% { const own = () => { %>${body(inside)}<% }; own() %>{<%~ capture(own) %>}<% } %>`
    }),
    tie('pieces').map((body): Piece => (scope) => {
      // Eta's blocks are refused inside of a tag, since a hit would leave them out.
      if (scope.inTag) return body(scope)
      const inside = { ...scope, inLoop: false }
      const name = `'b${scope.count.value++}'`
      return scope.asynchronous
        ? `<%~ await blockAsync(${name}, async () => { %>${body(inside)}<% }) %>`
        : `<%~ block(${name}, () => { %>${body(inside)}<% }) %>`
    }),
  ),
}))

const template = (asynchronous: boolean) =>
  fc.array(piece, { minLength: 1, maxLength: 4 }).map((parts) =>
    parts
      .map((part) =>
        part({ variables: [], inLoop: false, inTag: false, asynchronous, count: { value: 0 } }),
      )
      .join('')
      // Pieces count their names from zero.
      .replace(/(cache 60 f\d+)/g, (_, tag: string, at: number) => `${tag}at${at}`),
  )

describe('a template put together at random', () => {
  const data = {
    wait: () => new Promise((resolve) => setImmediate(resolve)),
    give: async (value: unknown) => value,
    refuse: async () => {
      await data.wait()
      throw new Error('refused')
    },
  }
  const outcome = async (action: () => string | Promise<string>) => {
    try {
      return await action()
    } catch (error) {
      // Which of several throws is first must be the same as well.
      return { thrown: error }
    }
  }

  it('gives the same synchronously without the tags, cold and warm', async () => {
    await fc.assert(
      fc.asyncProperty(template(false), async (source) => {
        const expected = await outcome(() => etaWith(undefined).renderString(source, data))
        const eta = etaWith(
          createCaches({ default: new LocMemCache({ options: { maxEntries: 10_000 } }) }),
        )
        for (let i = 0; i < 3; i++) {
          expect(await outcome(() => eta.renderString(source, data))).toEqual(expected)
        }
      }),
      { numRuns: runsOf(200) },
    )
  })

  it.each([
    ['local memory', () => new LocMemCache({ options: { maxEntries: 10_000 } })],
    ['an asynchronous cache', () => new AsyncTestCache()],
  ])('gives the same asynchronously without the tags, cold and warm, over %s', async (_, make) => {
    await fc.assert(
      fc.asyncProperty(template(true), async (source) => {
        const expected = await outcome(() => etaWith(undefined).renderStringAsync(source, data))
        const eta = etaWith(createCaches({ default: make() }))
        const render = () => outcome(() => eta.renderStringAsync(source, data))
        expect(await Promise.all([render(), render(), render()])).toEqual([
          expected,
          expected,
          expected,
        ])
        const { outcome: warm, bodyRuns } = await countBodies(render)
        expect(warm).toEqual(expected)
        // A body that was left early runs again, and so do those around it.
        if (!/break|continue|throw|refuse/.test(source)) expect(bodyRuns).toBe(0)
      }),
      { numRuns: runsOf(100) },
    )
  })
})
