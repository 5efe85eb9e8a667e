/** Reads and invalidations at random, until the world is told that it is over. */
import { setTimeout as sleep } from 'node:timers/promises'
import { entriesOf } from './entries.mjs'
import { nowMs } from './history.mjs'
import { Random } from './random.mjs'

const THINGS = ['a', 'b']

/** In each process; with their pauses, so that two cores are not at their end. */
const READERS = 10
const READER_PAUSE_MS = 20

/** Of all processes together: so few that most reads are hits, which alone can be old. */
const INVALIDATIONS_PER_SECOND = 12
const LAG_MS = 200

/**
 * @param {import('./world.mjs').World} world
 * @param {{ lag: boolean, workers: number }} options
 */
export async function work(world, { lag, workers }) {
  const { entries, ways } = entriesOf(world, THINGS)
  const { signal } = world.ending
  let loops = 0
  // Each with chance of its own: whose turn it is depends on time.
  const loop = async (pauseMs, act) => {
    const random = new Random(world.seed, `loop ${loops++}`)
    for (;;) {
      await sleep(random.between(0, 2 * pauseMs), undefined, { signal }).catch(() => undefined)
      if (signal.aborted) return
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
