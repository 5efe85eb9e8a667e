import { setTimeout as sleep } from 'node:timers/promises'
import type { Bus, BusListener } from '../../src/backends/tiered.js'

/** A bus within this process, with its faults. */
export class MemoryBus {
  readonly #listeners = new Set<BusListener>()
  readonly messages: string[] = []
  published = 0
  /** Messages can be sent, and reach everybody. */
  isUp = true
  refusesSubscriptions = false
  /** Subscriptions refused so far. */
  refused = 0
  /** Messages are taken, and reach nobody. */
  swallows = false
  /** Milliseconds until a message has arrived and its sender is told. */
  delayMs = 0
  /** Nobody is ever told whether a message was sent. */
  hangs = false

  /** The bus as one process sees it. */
  readonly end: Bus = {
    publish: async (text) => {
      this.published++
      if (this.hangs) await new Promise(() => undefined)
      if (this.delayMs > 0) await sleep(this.delayMs)
      if (!this.isUp) throw new Error('the bus is cut')
      this.messages.push(text)
      if (this.swallows) return
      for (const { message } of this.#listeners) message(text)
    },
    subscribe: (listener) => {
      if (this.refusesSubscriptions) {
        this.refused++
        throw new Error('no bus')
      }
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
