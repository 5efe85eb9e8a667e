import { subscribe, unsubscribe } from 'node:diagnostics_channel'
import { setImmediate as nextTurn } from 'node:timers/promises'
import { describe, expect, it, onTestFinished, vi } from 'vitest'
import { createCaches, FragmentCache } from '../../src/index.js'
import type { OutageMessage } from '../../src/observe/channels.js'
import { LIMIT_MS as PAGE_LIMIT_MS, withinLimit } from '../../src/time-limit.js'
import { AsyncTestCache } from '../support/async-cache.js'

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

describe('a store without a limit of its own that answers too late', () => {
  /** Whether it is taken for down, and what is warned of, once one call has waited too long. */
  async function afterOneLate(
    meanwhile: (cache: AsyncTestCache) => Promise<unknown>,
    bodyOf?: (cache: AsyncTestCache) => () => string,
  ) {
    vi.useFakeTimers({ toFake: ['setTimeout', 'clearTimeout', 'performance'] })
    const warnings = vi.spyOn(process, 'emitWarning').mockImplementation(() => undefined)
    const outages: OutageMessage[] = []
    const note = (message: unknown) => outages.push(message as OutageMessage)
    subscribe('fragcache:outage', note)
    const cache = new AsyncTestCache()
    const fragments = new FragmentCache(createCaches({ default: cache }))
    onTestFinished(() => {
      unsubscribe('fragcache:outage', note)
      vi.useRealTimers()
      vi.restoreAllMocks()
    })
    cache.hanging = bodyOf === undefined
    const render = fragments.render({ name: 'late' }, bodyOf?.(cache) ?? (() => 'made'))
    for (let i = 0; i < 20; i++) await nextTurn()
    // Gets no answer for ever; others get theirs.
    cache.lose()
    cache.hanging = false
    await meanwhile(cache)
    await vi.advanceTimersByTimeAsync(PAGE_LIMIT_MS + 1)
    expect(await render).toBe('made')
    const codes = warnings.mock.calls.map(([, about]) => (about as { code: string }).code)
    return { outages: outages.length, codes }
  }

  it('is not down if others are answered meanwhile', async () => {
    const seen = await afterOneLate((cache) => cache.get('other'))
    expect(seen).toEqual({ outages: 0, codes: ['FRAGCACHE_REFUSED'] })
  })

  const storesLate = (cache: AsyncTestCache) => () => {
    cache.hanging = true
    return 'made'
  }

  it('is not down if it stores for others meanwhile', async () => {
    const seen = await afterOneLate((cache) => cache.set('other', 1), storesLate)
    expect(seen).toEqual({ outages: 0, codes: ['FRAGCACHE_REFUSED'] })
  })

  it('is down if it only removes for others: that may be nothing to do', async () => {
    const seen = await afterOneLate((cache) => cache.delete('absent'), storesLate)
    expect(seen.codes).toEqual(['FRAGCACHE_OUTAGE'])
  })

  it.each([
    ['nobody is', () => nextTurn()],
    ['only who asks for something else is', (cache: AsyncTestCache) => cache.set('other', 1)],
  ])('is down if %s answered meanwhile', async (_, meanwhile) => {
    const seen = await afterOneLate(meanwhile)
    expect(seen.codes).toEqual(['FRAGCACHE_OUTAGE'])
  })
})
