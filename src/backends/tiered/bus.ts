import { randomBytes } from 'node:crypto'
import type { ChangeListener } from '../../backend/store.js'
import type { Bus } from '../../bus.js'
import type { MaybePromise } from '../../maybe-promise.js'
import { TimeLimit } from '../../time-limit.js'
import type { BusOutage } from './bus-outage.js'

/** Most characters of a message: PostgreSQL's `NOTIFY` takes 8000 bytes. */
const MAX_MESSAGE_LENGTH = 2500

/** Milliseconds until something that could not be sent is tried again. */
const RETRY_MS = 100

/** Milliseconds within which a message has to be sent. */
const SEND_LIMIT_MS = 1000

/** Milliseconds between two signs of life, which also tell of the messages before. */
const HEARTBEAT_MS = 500

/** Milliseconds without a word, of its own either, after which a bus counts as lost. */
const SILENCE_MS = 1500

/** Most senders whose last number is remembered. */
const MAX_SENDERS = 1000

/**
 * A message: who sends it, its number, and the stored keys that changed, or `null` for all. A sign of
 * life has no keys, and the number of the message before it.
 */
type Message = readonly [from: string, number: number, keys?: readonly string[] | null]

/** The end of a bus in one cache: puts changes into messages, and sends again what was not sent. */
export class BusEnd {
  readonly #bus: Bus
  readonly #name = randomBytes(9).toString('base64url')
  readonly #limit = new TimeLimit(SEND_LIMIT_MS)
  readonly #outage: BusOutage
  #retry: NodeJS.Timeout | undefined
  #sent = 0
  #sending = 0
  #isClosed = false

  constructor(bus: Bus, outage: BusOutage) {
    this.#bus = bus
    this.#outage = outage
  }

  /** Listens, and tries again where that fails. @returns Ends it. */
  listen(listener: ChangeListener): () => Promise<void> {
    const listening = new Listening(this.#name, listener)
    let unsubscribe: (() => MaybePromise<void>) | undefined
    let retry: NodeJS.Timeout | undefined
    const subscribe = async (): Promise<void> => {
      try {
        unsubscribe = await this.#bus.subscribe({
          message: (text) => listening.message(text),
          up: () => listening.up(),
          down: () => listening.down(),
        })
      } catch (error) {
        this.#outage.failed('subscribe', error)
        retry = setTimeout(() => {
          subscribed = subscribe()
        }, RETRY_MS).unref()
      }
    }
    this.#isClosed = false
    // What could not be sent before it was closed has still to be made up for.
    if (this.#outage.isFailing('publish')) this.#tellLater()
    let subscribed = subscribe()
    const heartbeat = setInterval(() => {
      if (!listening.isUp) return
      listening.checkSilence()
      if (this.#sending === 0 && !this.#outage.isFailing('publish'))
        void this.#send([[this.#name, this.#sent]])
    }, HEARTBEAT_MS).unref()
    return async () => {
      listening.stop()
      clearInterval(heartbeat)
      await subscribed
      clearTimeout(retry)
      await unsubscribe?.()
    }
  }

  /**
   * Resolves when it was sent, or is going to be made up for as soon as anything can be sent: a bus
   * that hangs costs the first calls its limit, and the others nothing.
   */
  async tell(keys: readonly string[] | null): Promise<void> {
    if (keys?.length === 0) return
    if (this.#outage.isFailing('publish')) {
      // Anybody who hears the next message misses the number.
      this.#sent++
      this.#tellLater()
      return
    }
    const groups = keys === null ? [null] : groupsOf(keys)
    const isSent = await this.#send(groups.map((group) => [this.#name, ++this.#sent, group]))
    if (!isSent) this.#tellLater()
  }

  async #send(messages: readonly Message[]): Promise<boolean> {
    const texts = messages.map((message) => JSON.stringify(message))
    this.#sending++
    try {
      await this.#limit.race(Promise.all(texts.map(async (text) => this.#bus.publish(text))))
    } catch (error) {
      this.#outage.failed('publish', error)
      return false
    } finally {
      this.#sending--
    }
    this.#outage.succeeded('publish')
    return true
  }

  /** Gives up what is still to be sent. */
  close(): void {
    this.#isClosed = true
    clearTimeout(this.#retry)
    this.#retry = undefined
  }

  /** What was lost may be much by then: that anything may have changed says it all. */
  #tellLater(): void {
    if (this.#isClosed) return
    this.#retry ??= setTimeout(() => {
      void this.#send([[this.#name, ++this.#sent, null]]).then((isSent) => {
        this.#retry = undefined
        if (!isSent) this.#tellLater()
      })
    }, RETRY_MS).unref()
  }
}

/** What one end has heard of the others, and whether it hears them all. */
class Listening {
  readonly #name: string
  readonly #listener: ChangeListener
  readonly #numbers = new Map<string, number>()
  #isUp = false
  #isSilent = false
  #isStopped = false
  #heardMs = 0
  /** Not every bus brings back what oneself has published. */
  #hearsItself = false

  constructor(name: string, listener: ChangeListener) {
    this.#name = name
    this.#listener = listener
  }

  get isUp(): boolean {
    return this.#isUp
  }

  up(): void {
    if (this.#isStopped) return
    this.#numbers.clear()
    this.#hearsItself = false
    this.#isUp = true
    this.#isSilent = false
    this.#listener.up()
  }

  down(): void {
    if (this.#isStopped) return
    this.#isUp = false
    this.#listener.down()
  }

  stop(): void {
    this.#isStopped = true
    this.#isUp = false
  }

  /**
   * A bus that no longer brings back this process's own signs of life is lost, whatever it says itself.
   */
  checkSilence(): void {
    if (!this.#hearsItself || this.#isSilent) return
    if (performance.now() - this.#heardMs < SILENCE_MS) return
    this.#isSilent = true
    this.#listener.down()
  }

  /** What is no message of ours is as good as anything changed. */
  message(text: string): void {
    if (this.#isStopped) return
    const message = parse(text)
    if (message === undefined) {
      this.#listener.changedAll()
      return
    }
    const [from, number, keys] = message
    if (from === this.#name) {
      this.#heardItself()
      return
    }
    if (this.#hasMissed(from, number, keys === undefined) || keys === null) {
      this.#listener.changedAll()
    } else if (keys !== undefined) {
      this.#listener.changed(keys)
    }
  }

  #heardItself(): void {
    this.#heardMs = performance.now()
    this.#hearsItself = true
    if (!this.#isSilent || !this.#isUp) return
    this.#isSilent = false
    this.#listener.up()
  }

  #hasMissed(from: string, number: number, isSignOfLife: boolean): boolean {
    const last = this.#numbers.get(from)
    if (last === undefined && this.#numbers.size >= MAX_SENDERS) this.#numbers.clear()
    this.#numbers.set(from, Math.max(number, last ?? number))
    return last !== undefined && number > last + (isSignOfLife ? 0 : 1)
  }
}

/** Keys that go into one message together. */
function groupsOf(keys: readonly string[]): string[][] {
  const groups: string[][] = []
  let group: string[] = []
  let length = 0
  for (const key of keys) {
    if (group.length > 0 && length + key.length > MAX_MESSAGE_LENGTH) {
      groups.push(group)
      group = []
      length = 0
    }
    group.push(key)
    length += key.length + 3
  }
  return [...groups, group]
}

function parse(text: string): Message | undefined {
  let message: unknown
  try {
    message = JSON.parse(text)
  } catch {
    return undefined
  }
  if (!Array.isArray(message)) return undefined
  const [from, number, keys] = message as unknown[]
  if (typeof from !== 'string' || !Number.isSafeInteger(number)) return undefined
  if (keys === undefined) return [from, number as number]
  if (keys === null) return [from, number as number, null]
  if (!Array.isArray(keys) || !keys.every((key) => typeof key === 'string')) return undefined
  return [from, number as number, keys]
}
