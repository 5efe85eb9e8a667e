import { describe, expect, it } from 'vitest'
import { createCaches, FragmentCache, type WriteEntry, type WriteOutcome } from 'fragcache'
import { AsyncTestCache } from '../support/async-cache.js'

/** A store in which the write that was begun first takes effect last. */
class OvertakenCache extends AsyncTestCache {
  #second!: () => void
  readonly #afterSecond = new Promise<void>((resolve) => (this.#second = resolve))
  #count = 0

  override async writeEntries(entries: readonly WriteEntry<Uint8Array>[]): Promise<WriteOutcome[]> {
    if (!entries.some(({ key }) => key.endsWith('f:part'))) return super.writeEntries(entries)
    const count = ++this.#count
    if (count === 1) await this.#afterSecond
    const outcomes = await super.writeEntries(entries)
    if (count === 2) this.#second()
    return outcomes
  }
}

describe('two fragments of a new name, rendered concurrently inside another', () => {
  it('leave the outer one a hit, whichever of them makes the counter of their tag', async () => {
    const cache = new OvertakenCache()
    const caches = createCaches({ default: cache })
    const fragments = new FragmentCache(caches)
    let bodies = 0
    const part = (x: number) =>
      fragments.render({ name: 'part', varyOn: [x], timeout: 60 }, async () => {
        bodies++
        if (x === 2) await new Promise(setImmediate)
        return String(x)
      })
    const page = () =>
      fragments.render({ name: 'page', timeout: 60 }, async () => {
        bodies++
        return (await Promise.all([part(1), part(2)])).join('')
      })
    expect(await page()).toBe('12')
    expect(bodies).toBe(3)
    expect(await page()).toBe('12')
    expect(bodies).toBe(3)
    await fragments.invalidate('part')
    expect(await page()).toBe('12')
    expect(bodies).toBe(6)
  })
})
