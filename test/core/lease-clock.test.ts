import { afterEach, beforeEach, expect, it } from 'vitest'
import { AsyncTestCache } from '../support/async-cache.js'
import { SteppedClock } from '../support/clock.js'
import { gate } from '../support/waiting.js'

const clock = new SteppedClock()
beforeEach(clock.start)
afterEach(clock.stop)

it('nobody waits longer for the process that makes an entry because the clock is set back', async () => {
  const location = 'lease-clock'
  const [here, there] = [new AsyncTestCache({ location }), new AsyncTestCache({ location })]
  const { opened, open } = gate()
  const begun = gate()
  const lock = { wait: 0.2, lease: 1000 }
  const made = here.getOrSet('k', async () => (begun.open(), await opened, 'here'), { lock })
  await begun.opened
  const waiting = there.getOrSet('k', () => 'there', { lock })
  clock.advance(-3600)
  expect(await waiting).toBe('there')
  open()
  await made
})
