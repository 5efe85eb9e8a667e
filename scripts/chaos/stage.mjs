/** Plays the roles of a scenario: what happens in which order is told by signals. */
import { existsSync, mkdirSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { SCENARIOS } from './scenarios/index.mjs'
import { tagOf } from './world.mjs'

const LIMIT_MS = 20_000
const LOOK_MS = 3

/**
 * @typedef {object} Scenario
 * @property {string} name - A sentence that is true where nothing is wrong.
 * @property {number} point - Which fault it shows: see `plants.mjs`.
 * @property {string} [only] - A kind of store.
 * @property {readonly string[]} [needs] - What must be possible to do to the store.
 * @property {boolean} [current] - Not over replicas: they may not have yet what was stored just now.
 * @property {boolean} [blocks] - It stops the event loop of a process.
 * @property {boolean} [alone] - It does to the store what others would notice.
 * @property {Readonly<Record<string, (stage: Stage) => Promise<void>>>} roles - Up to four, from `a` to
 *   `d`, each in a process of its own. Only `a` may block its event loop, or those of two scenarios would wait for each other.
 */

/** What a role sees. */
export class Stage {
  constructor(world, { scenario, tiered, spec, folder, settleMs }) {
    this.world = world
    this.spec = spec
    /**
     * Nobody else's, also not the other variant's of the store, and a name for its entries: an invalidation by tag
     * discards what its process is making with that tag, in all caches.
     */
    this.thing = `${tiered ? 'tiered-' : ''}scenario-${scenario}`
    this.tag = tagOf(this.thing)
    this.folder = folder
    this.settleMs = settleMs
    mkdirSync(folder, { recursive: true })
  }

  /** Tells the other roles; `fault NAME` has the conductor do that to the store. */
  signal(name) {
    writeFileSync(this.#file(name), '')
  }

  async until(name) {
    for (const endMs = performance.now() + LIMIT_MS; !existsSync(this.#file(name));) {
      if (performance.now() > endMs) throw new Error(`${this.thing}: nobody signals ${name}`)
      await sleep(LOOK_MS)
    }
  }

  /** The same, while the event loop of this process stands still. */
  blockUntil(name) {
    const nobody = new Int32Array(new SharedArrayBuffer(4))
    for (const endMs = performance.now() + LIMIT_MS; !existsSync(this.#file(name));) {
      if (performance.now() > endMs) throw new Error(`${this.thing}: nobody signals ${name}`)
      Atomics.wait(nobody, 0, 0, LOOK_MS)
    }
  }

  /** Has the conductor do something to the store. */
  async fault(name) {
    this.signal(`fault ${name}`)
    await this.until(`done ${name}`)
  }

  /** What is documented to lag behind has caught up after this. */
  settle() {
    return sleep(this.settleMs)
  }

  /** What an entry holds that is made now. */
  made = () => ({ numbers: { [this.thing]: this.world.truth.read(this.thing) } })

  /** Changes the thing, and invalidates by its tag. */
  invalidateTag() {
    const run = () => this.world.caches.invalidateTags([this.tag])
    return this.world.invalidate(this.thing, { handle: `tag:${this.thing}`, run })
  }

  #file(name) {
    return join(this.folder, `${this.thing} ${name}`.replaceAll(/[^\w.-]/g, '_'))
  }
}

/** Never rejects: what goes wrong in a scenario is part of its history. */
export async function play(world, { role, ...stage }) {
  try {
    await SCENARIOS[stage.scenario].roles[role](new Stage(world, stage))
  } catch (error) {
    world.broken(`${stage.scenario}, role ${role}: ${error.stack ?? error}`)
  }
}
