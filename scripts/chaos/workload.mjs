/** Reads and invalidations at random, until it is over. */
import { setTimeout as sleep } from 'node:timers/promises'
import { entriesOf } from './entries.mjs'
import { nowMs } from './history.mjs'
import { Random } from './random.mjs'

const THINGS = ['a', 'b']

/** In each process; with their pauses, so that two cores are not at their end. */
const READERS = 10
const READER_PAUSE_MS = 20

/** Of all processes together: so few that most reads are hits, which alone can be old. */
const INVALIDATIONS_PER_SECOND = 8
const LAG_MS = 200

/**
 * @param {import('./world.mjs').World} world
 * @param {{ untilMs: number, lag: boolean, workers: number }} options
 */
export async function work(world, { untilMs, lag, workers }) {
  const { entries, ways } = entriesOf(world, THINGS)
  let loops = 0
  // Each with chance of its own: whose turn it is depends on time.
  const loop = async (pauseMs, act) => {
    const random = new Random(world.seed, `loop ${loops++}`)
    while (nowMs() < untilMs) {
      await sleep(random.between(0, 2 * pauseMs))
      await act(random)
    }
  }
  const readers = Array.from({ length: READERS }, () =>
    loop(READER_PAUSE_MS, (random) => world.read(random.pick(entries))),
  )
  const writer = loop((1000 * workers) / INVALIDATIONS_PER_SECOND, (random) => {
    const way = random.pick(ways)
    return world.invalidate(way.thing, way)
  })
  const lagging = lag ? [loop(1000, block)] : []
  await Promise.all([...readers, writer, ...lagging])
}

/** Keeps the event loop busy. */
function block() {
  const endMs = nowMs() + LAG_MS
  while (nowMs() < endMs);
}
