/** One of the processes: does what the conductor tells it. */
import { setTimeout as sleep } from 'node:timers/promises'

const { index, seed, clockOffsetMs } = JSON.parse(process.argv[2])

// Before anything that reads the clock is loaded.
if (clockOffsetMs !== 0) {
  const now = Date.now
  Date.now = () => now() + clockOffsetMs
}

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
  world.broken(`a promise that nobody waits for was rejected: ${reason.stack ?? reason}`)
})

let world

const commands = {
  async open({ spec, how, folder }) {
    const recorder = new Recorder(`${folder}/history`, index)
    const store = await openStore(spec, how)
    const truth = new Truth(`${folder}/truth`)
    world = await new World({ store, truth, recorder, seed }).open()
  },
  work: (options) => work(world, options),
  play: (stage) => play(world, stage),
  async close() {
    // What is made in the background may still be recorded.
    await sleep(50)
    await world.close()
    world.recorder.flush()
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
