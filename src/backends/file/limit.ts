/** Lets so many actions run at a time; the others wait their turn. */
export class Limiter {
  #free: number
  readonly #waiting: (() => void)[] = []

  constructor(width: number) {
    this.#free = width
  }

  async run<T>(action: () => Promise<T>): Promise<T> {
    if (this.#free > 0) this.#free--
    else await new Promise<void>((resolve) => this.#waiting.push(resolve))
    try {
      return await action()
    } finally {
      const next = this.#waiting.shift()
      if (next === undefined) this.#free++
      else next()
    }
  }
}

/**
 * Runs one action per item, so many at a time.
 *
 * @returns The results, in the items' order.
 * @throws The first failure, once none is at work any more; no more were begun after it.
 */
export async function mapLimited<T, U>(
  items: readonly T[],
  width: number,
  action: (item: T, index: number) => Promise<U>,
): Promise<U[]> {
  const results: U[] = []
  const failures: unknown[] = []
  let next = 0
  const work = async () => {
    while (next < items.length && failures.length === 0) {
      const index = next++
      try {
        results[index] = await action(items[index] as T, index)
      } catch (error) {
        failures.push(error)
      }
    }
  }
  await Promise.all(Array.from({ length: Math.min(width, items.length) }, work))
  if (failures.length > 0) throw failures[0]
  return results
}

const queues = new Map<string, Promise<void>>()

/**
 * Runs actions of one name one after another, in the order they came.
 *
 * @remarks Within this process: it spares calls of one process from waiting for each other by way
 *   of the file system.
 */
export async function inTurn<T>(name: string, action: () => Promise<T>): Promise<T> {
  const before = queues.get(name)
  let done = () => {}
  const mine = new Promise<void>((resolve) => (done = resolve))
  queues.set(name, mine)
  try {
    await before
    return await action()
  } finally {
    done()
    if (queues.get(name) === mine) queues.delete(name)
  }
}
