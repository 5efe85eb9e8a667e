/** How often time is taken. */
const TICK_MS = 5

/**
 * The milliseconds that this process had: those it computed, and those it spent waiting while it
 * could have run. What a busy machine gave to others meanwhile does not count, so that limits of
 * time hold on any machine, and a process that blocks itself is found out all the same.
 */
class OwnTime {
  #ownMs = 0
  #lastMs = performance.now()
  #lastCpuMs = cpuMs()

  constructor() {
    setInterval(() => this.now(), TICK_MS).unref()
  }

  now(): number {
    const nowMs = performance.now()
    const nowCpuMs = cpuMs()
    const computedMs = nowCpuMs - this.#lastCpuMs
    this.#ownMs += Math.min(nowMs - this.#lastMs, Math.max(2 * TICK_MS, computedMs))
    this.#lastMs = nowMs
    this.#lastCpuMs = nowCpuMs
    return this.#ownMs
  }
}

function cpuMs(): number {
  const { user, system } = process.cpuUsage()
  return (user + system) / 1000
}

/** Of this process; to be used instead of `performance`. */
export const ownTime = new OwnTime()
