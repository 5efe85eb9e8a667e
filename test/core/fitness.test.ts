import { expect, it } from 'vitest'
import { coreOf } from '../../src/backend/core.js'
import { fitnessOf } from '../../src/making/fitness.js'
import { Frame } from '../../src/making/frame.js'
import { AsyncTestCache } from '../support/async-cache.js'

it('tells the frame around of something outdated inside before it waits for versions', async () => {
  const core = coreOf(new AsyncTestCache())
  const around = new Frame(core, undefined, undefined)
  const frame = new Frame(core, around, undefined)
  frame.depend(core, new Map([['t', 'before an invalidation']]))
  void frame.declare(['read at the end'])
  const versions = new Map([['t', 'after it']])
  const fitness = fitnessOf({ frame, versions, claim: 'claimed', deadline: null })
  expect(fitness).toBeInstanceOf(Promise)
  expect(around.holdsOld).toBe(true)
  expect(await fitness).toMatchObject({ isKept: false })
})
