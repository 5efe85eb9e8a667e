/** The processes that read and write, as the conductor sees them. */
import { fork } from 'node:child_process'
import { fileURLToPath } from 'node:url'

const SCRIPT = fileURLToPath(new URL('worker.mjs', import.meta.url))

/** Milliseconds by which clocks are off while all is at random. */
const CLOCKS = [0, 0, 30_000, -30_000]

export class Worker {
  /** For the conductor to set, with what is opened. */
  clockOffsetMs
  #child
  #settings
  #asked = new Map()
  #lastId = 0

  constructor({ clockOffsetMs, ...settings }) {
    this.clockOffsetMs = clockOffsetMs
    this.#settings = settings
  }

  /** Starts it, or starts it once more after it was killed. */
  async start() {
    const child = fork(SCRIPT, [JSON.stringify(this.#settings)], {
      env: { ...process.env, ...this.#settings.env },
    })
    this.#child = child
    const ended = new Promise((_, reject) => {
      child.once('exit', (code, signal) => reject(new Error(`a process ended: ${code ?? signal}`)))
    })
    ended.catch(() => undefined)
    child.on('message', ({ id, error }) => {
      const { resolve, reject } = this.#asked.get(id) ?? {}
      this.#asked.delete(id)
      if (error === undefined) resolve?.()
      else reject?.(new Error(error))
    })
    child.once('exit', (code, signal) => {
      for (const { reject } of this.#asked.values()) {
        reject(new Error(`a process ended: ${code ?? signal}`))
      }
      this.#asked.clear()
    })
    await Promise.race([new Promise((ready) => child.once('message', ready)), ended])
  }

  /** @returns When it has done what it was told. Rejects if it failed or ended before. */
  async tell(command, given = {}) {
    const id = ++this.#lastId
    const done = new Promise((resolve, reject) => this.#asked.set(id, { resolve, reject }))
    this.#child.send({ id, command, ...given })
    await done
  }

  /** Does nothing to one that is just being killed. */
  signal(name) {
    this.#child.kill(name)
  }

  async kill() {
    const ended = new Promise((resolve) => this.#child.once('exit', resolve))
    this.#child.kill('SIGKILL')
    await ended
  }

  async end() {
    if (this.#child.exitCode !== null || this.#child.signalCode !== null) return
    const ended = new Promise((resolve) => this.#child.once('exit', resolve))
    this.#child.disconnect()
    await ended
  }
}

/**
 * Starts the processes of a run; each store is opened by the same ones.
 *
 * @param {import('./arguments.d.mts').Plan} plan
 * @param {NodeJS.ProcessEnv} env
 * @returns {Promise<Worker[]>}
 */
export async function startCrew({ workers, seed, faults }, env) {
  const crew = Array.from({ length: workers }, (_, index) => {
    const clockOffsetMs = faults.includes('clock') ? CLOCKS[index % CLOCKS.length] : 0
    return new Worker({ index, seed: seed * 1000 + index, clockOffsetMs, env })
  })
  await Promise.all(crew.map((worker) => worker.start()))
  return crew
}
