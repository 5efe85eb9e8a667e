import { createCaches, LocMemCache } from 'fragcache'
import { expect, it } from 'vitest'
import { currentFrame } from '../../src/making/frame.js'
import { etaWith } from './eta-driver.js'

// By itself in this file: it is about the first template of a process that waits.
it('leaves nothing behind in what ran before anything was rendered', async () => {
  let go: (() => void) | undefined
  const pending = (async () => {
    await new Promise<void>((resolve) => (go = resolve))
    return currentFrame()
  })()
  const eta = etaWith(createCaches({ default: new LocMemCache() }))
  const template = `<% cache 60 x %><% await it.wait(); throw 'no' %><% endcache %>`
  const wait = () => new Promise((resolve) => setImmediate(resolve))
  await eta.renderStringAsync(template, { wait }).catch(() => undefined)
  expect(currentFrame()).toBeUndefined()
  go?.()
  expect(await pending).toBeUndefined()
})
