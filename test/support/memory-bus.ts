import type { Bus, BusListener } from '../../src/backends/tiered.js'

/** A bus within this process, with its faults. */
export class MemoryBus {
  readonly #listeners = new Set<BusListener>()
  readonly messages: string[] = []
  /** Messages can be sent, and reach everybody. */
  isUp = true
  refusesSubscriptions = false
  /** Messages are taken, and reach nobody. */
  swallows = false

  /** The bus as one process sees it. */
  readonly end: Bus = {
    publish: (text) => {
      if (!this.isUp) throw new Error('the bus is cut')
      this.messages.push(text)
      if (this.swallows) return
      for (const { message } of this.#listeners) message(text)
    },
    subscribe: (listener) => {
      if (this.refusesSubscriptions) throw new Error('no bus')
      this.#listeners.add(listener)
      if (this.isUp) listener.up()
      return () => void this.#listeners.delete(listener)
    },
  }

  get subscribers(): number {
    return this.#listeners.size
  }

  cut(): void {
    this.isUp = false
    for (const { down } of this.#listeners) down()
  }

  restore(): void {
    this.isUp = true
    for (const { up } of this.#listeners) up()
  }

  /** A message of somebody else. */
  inject(text: string): void {
    for (const { message } of this.#listeners) message(text)
  }
}
