/** One of the processes: does what the conductor tells it. */
import { setTimeout as sleep } from 'node:timers/promises'

const { index, seed } = JSON.parse(process.argv[2])

// Before anything that reads the clock is loaded.
const now = Date.now
let offsetMs = 0
Date.now = () => now() + offsetMs

const { openStore } = await import('./open.mjs')
const { Recorder } = await import('./history.mjs')
const { Truth } = await import('./truth.mjs')
const { World } = await import('./world.mjs')
const { work } = await import('./workload.mjs')
const { play } = await import('./stage.mjs')

// What caches warn of when their store fails is expected here.
process.removeAllListeners('warning')
process.on('warning', () => undefined)
process.on('disconnect', () => process.exit(1))
// A site would be gone.
process.on('unhandledRejection', (reason) => {
  const text = `a promise that nobody waits for was rejected: ${reason.stack ?? reason}`
  for (const world of worlds.values()) world.broken(text)
})

const worlds = new Map()

const commands = {
  async open({ world: name, spec, how, folder, clockOffsetMs = 0 }) {
    offsetMs = clockOffsetMs
    const recorder = new Recorder(`${folder}/history`, index)
    const store = await openStore(spec, how)
    const truth = new Truth(`${folder}/truth`)
    worlds.set(name, await new World({ store, truth, recorder, seed }).open())
  },
  work: ({ world, ...options }) => work(worlds.get(world), options),
  finish: async ({ world }) => worlds.get(world).finish(),
  play: ({ world, ...stage }) => play(worlds.get(world), stage),
  async close({ world: name }) {
    const world = worlds.get(name)
    // What is made in the background may still be recorded.
    await sleep(50)
    await world.close()
    world.recorder.flush()
    worlds.delete(name)
  },
}

process.on('message', async ({ id, command, ...given }) => {
  try {
    await commands[command](given)
    process.send({ id })
  } catch (error) {
    process.send({ id, error: error.stack ?? String(error) })
  }
})
process.send({ ready: true })
