import { setImmediate as nextTurn } from 'node:timers/promises'
import { describe, expect, it } from 'vitest'
import { withinLimit } from '../../src/time-limit.js'

const LIMIT_MS = 200

function keepBusy(ms: number): void {
  const endMs = performance.now() + ms
  while (performance.now() < endMs);
}

/** As a store answers that is asked, and asked again for the tags. */
async function twoTurns(): Promise<string> {
  await nextTurn()
  await nextTurn()
  return 'answer'
}

describe('the limit for stores without one', () => {
  it('takes an answer that this process was too busy to look for', async () => {
    const limited = withinLimit(twoTurns(), LIMIT_MS)
    keepBusy(2 * LIMIT_MS)
    expect(await limited).toBe('answer')
  })

  it('ends also for a busy process', async () => {
    const limited = withinLimit(new Promise(() => undefined), LIMIT_MS)
    keepBusy(2 * LIMIT_MS)
    await expect(limited).rejects.toThrow(`no answer within ${LIMIT_MS} ms`)
  })

  it('hands over what the store itself fails with', async () => {
    await expect(withinLimit(Promise.reject(new Error('down')), LIMIT_MS)).rejects.toThrow('down')
  })

  it('gives what is there at once without a promise', () => {
    expect(withinLimit('value', LIMIT_MS)).toBe('value')
  })
})
