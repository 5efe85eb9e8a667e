import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it, vi } from 'vitest'
import { differences, expectedOutcomes } from '../support/django-differences.js'
import { comparable, recordedOutcome, sequences, Stage } from '../support/django-sequences.js'
import { oneExpress } from '../support/express.js'

describe('the recorded sequences', () => {
  it('are all there', () => {
    expect(sequences).toHaveLength(229)
  })

  it('have one difference at most, in a step that they have', () => {
    const cases = differences.flatMap(({ cases }) => cases)
    expect(new Set(cases).size).toBe(cases.length)
    for (const difference of differences) {
      for (const id of difference.cases) {
        const sequence = sequences.find((one) => one.id === id)
        const steps = Object.keys(difference.steps ?? { 0: {} }).map(Number)
        expect(Math.max(...steps), id).toBeLessThan(sequence?.steps.length ?? 0)
      }
    }
  })

  it.each(differences.filter(({ steps }) => steps !== undefined))(
    'differ in every step that says so: $here',
    (difference) => {
      for (const id of difference.cases) {
        const sequence = sequences.find((one) => one.id === id)!
        const ours = expectedOutcomes(sequence, difference)
        for (const i of Object.keys(difference.steps ?? {}).map(Number)) {
          expect(ours[i], `${id}, step ${i}`).not.toEqual(recordedOutcome(sequence, i))
        }
      }
    },
  )
})

describe.each(oneExpress)("Django's sequences on $version", ({ express }) => {
  const stage = new Stage(express)
  beforeAll(() => stage.open())
  afterAll(() => stage.close())
  beforeEach(() => void vi.useFakeTimers({ toFake: ['Date'] }))
  afterEach(() => void vi.useRealTimers())

  it.each(sequences)('$id, $group: $title', async (sequence) => {
    const difference = differences.find(({ cases }) => cases.includes(sequence.id))
    const outcomes = await stage.replay(sequence)
    if (typeof outcomes === 'string') {
      expect(outcomes).toBe(difference?.throws)
      return
    }
    const expected = expectedOutcomes(sequence, difference)
    const compared = outcomes.map((outcome, i) => comparable(outcome, expected[i]!))
    expect(compared).toEqual(expected)
  })
})
