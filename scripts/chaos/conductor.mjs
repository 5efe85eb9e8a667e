/** Runs the processes over one store, and judges what they saw. */
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { disturb } from './disturbance.mjs'
import { prepareStore } from './open.mjs'
import { playAll } from './playing.mjs'

/**
 * @typedef {object} Row - What came of one store.
 * @property {string} store
 * @property {ReturnType<typeof import('./checker.d.mts').judge>} verdict
 * @property {import('./checker.d.mts').Event[]} events
 * @property {string} part - `scenarios` or `random`.
 *
 * @typedef {object} Variant - A store by itself, or behind a `TieredCache`.
 * @property {string} store - Its name.
 * @property {import('./crew.mjs').Worker[]} crew
 * @property {import('./arguments.d.mts').Plan} plan
 * @property {import('./stores.mjs').Running} running
 * @property {boolean} tiered
 * @property {string} folder
 */

/**
 * @param {string} name - Of the store.
 * @param {import('./arguments.d.mts').Plan} plan
 * @param {{ crew: import('./crew.mjs').Worker[], running: import('./stores.mjs').Running, report: (row: Row) => void }} how
 */
export async function conduct(name, plan, { crew: all, running, report }) {
  const { spec } = running
  const isShared = spec.kind !== 'memory'
  const crew = isShared ? all : all.slice(0, 1)
  const folder = await mkdtemp(join(tmpdir(), 'fragcache-chaos-'))
  try {
    await prepareStore(spec)
    const variants = (isShared ? [false, true] : [false]).map((tiered) => ({
      store: tiered ? `tiered ${name}` : name,
      crew,
      plan,
      running,
      tiered,
      folder: join(folder, String(tiered)),
    }))
    // The scenarios first: servers may take some time to recover from what happens at random.
    const played = isShared ? await playAll(variants) : []
    played.forEach((verdict, i) =>
      report({ store: variants[i].store, part: 'scenarios', ...verdict }),
    )
    if (plan.seconds === 0) return
    for (const variant of plan.isShort ? variants.slice(0, 1) : variants) {
      report({ store: variant.store, part: 'random', ...(await disturb(variant)) })
    }
  } finally {
    await rm(folder, { recursive: true, force: true, maxRetries: 5 })
  }
}
