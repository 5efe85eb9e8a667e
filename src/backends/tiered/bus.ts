import { randomBytes } from 'node:crypto'
import type { ChangeListener } from '../../backend.js'
import { CacheBackendError } from '../../errors.js'
import type { MaybePromise } from '../../maybe-promise.js'
import { OutageReporter } from '../../observe.js'
import { TimeLimit } from '../../time-limit.js'

/** What a {@link Bus} calls. */
export interface BusListener {
  /** A message that this or another process published. */
  readonly message: (text: string) => void
  /** From now on every message arrives. Called again after each {@link down}. */
  readonly up: () => void
  /** From now on messages may be lost: nothing is served from local memory until the next `up`. */
  readonly down: () => void
}

/**
 * Tells processes of each other's changes: whatever carries a text of some kilobytes to all of them
 * within milliseconds, such as PostgreSQL's `NOTIFY`, NATS or the messages of `node:cluster`.
 */
export interface Bus {
  /** Sends a text to all processes. Rejects if it could not be sent; it is then sent again. */
  publish(text: string): MaybePromise<void>
  /** Starts listening, and calls `up` once it does. @returns Ends it. */
  subscribe(listener: BusListener): MaybePromise<() => MaybePromise<void>>
}

/** Most characters of a message: PostgreSQL's `NOTIFY` takes 8000 bytes. */
const MAX_MESSAGE_LENGTH = 2500

/** Milliseconds until something that could not be sent is tried again. */
const RETRY_MS = 100

/** Milliseconds within which a message has to be sent. */
const SEND_LIMIT_MS = 1000

const BACKEND = 'TieredCache'

/** A message: who sends it, and the stored keys that changed, or `null` for all. */
type Message = readonly [from: string, keys: readonly string[] | null]

/** The end of a bus in one cache: puts changes into messages, and sends again what was not sent. */
export class BusEnd {
  readonly #bus: Bus
  readonly #name = randomBytes(9).toString('base64url')
  readonly #limit = new TimeLimit(SEND_LIMIT_MS)
  readonly #outages = new OutageReporter()
  readonly #alias: () => string
  #retry: NodeJS.Timeout | undefined

  /** @param alias - What the cache is called in reports of outages. */
  constructor(bus: Bus, alias: () => string) {
    this.#bus = bus
    this.#alias = alias
  }

  /** Listens, and tries again where that fails. @returns Ends it. */
  listen(listener: ChangeListener): () => Promise<void> {
    let isStopped = false
    let unsubscribe: (() => MaybePromise<void>) | undefined
    let retry: NodeJS.Timeout | undefined
    const unlessStopped = (call: () => void) => {
      if (!isStopped) call()
    }
    const subscribe = async (): Promise<void> => {
      try {
        unsubscribe = await this.#bus.subscribe({
          message: (text) => unlessStopped(() => this.#receive(text, listener)),
          up: () =>
            unlessStopped(() => {
              this.#succeeded()
              listener.up()
            }),
          down: () => unlessStopped(() => listener.down()),
        })
      } catch (error) {
        this.#failed('subscribe', error)
        retry = setTimeout(() => {
          subscribed = subscribe()
        }, RETRY_MS).unref()
      }
    }
    let subscribed = subscribe()
    return async () => {
      isStopped = true
      await subscribed
      clearTimeout(retry)
      await unsubscribe?.()
    }
  }

  /** What is no message of ours is as good as anything changed. */
  #receive(text: string, listener: ChangeListener): void {
    const message = parse(text)
    if (message?.[0] === this.#name) return
    const keys = message?.[1] ?? undefined
    if (keys === undefined) listener.changedAll()
    else listener.changed(keys)
  }

  /** Resolves when it was sent, or is going to be sent again and again until it is. */
  async tell(keys: readonly string[] | null): Promise<void> {
    if (keys?.length === 0) return
    try {
      await this.#limit.race(
        Promise.all(this.#messages(keys).map(async (text) => this.#bus.publish(text))),
      )
      this.#succeeded()
    } catch (error) {
      this.#failed('publish', error)
      this.#tellLater()
    }
  }

  #failed(operation: string, cause: unknown): void {
    const message = `TieredCache: bus: ${operation} failed: ${cause instanceof Error ? cause.message : String(cause)}`
    const error = new CacheBackendError(message, { cause, backend: BACKEND, operation })
    this.#outages.failed(this.#alias(), BACKEND, error)
  }

  #succeeded(): void {
    this.#outages.succeeded(this.#alias(), BACKEND)
  }

  /** Gives up what is still to be sent. */
  close(): void {
    clearTimeout(this.#retry)
    this.#retry = undefined
  }

  /** What was lost may be much by then: that anything may have changed says it all. */
  #tellLater(): void {
    this.#retry ??= setTimeout(() => {
      this.#retry = undefined
      void this.tell(null)
    }, RETRY_MS).unref()
  }

  #messages(keys: readonly string[] | null): string[] {
    if (keys === null) return [this.#message(null)]
    const messages: string[] = []
    let group: string[] = []
    let length = 0
    for (const key of keys) {
      if (group.length > 0 && length + key.length > MAX_MESSAGE_LENGTH) {
        messages.push(this.#message(group))
        group = []
        length = 0
      }
      group.push(key)
      length += key.length + 3
    }
    if (group.length > 0) messages.push(this.#message(group))
    return messages
  }

  #message(keys: readonly string[] | null): string {
    return JSON.stringify([this.#name, keys] satisfies Message)
  }
}

function parse(text: string): Message | undefined {
  let message: unknown
  try {
    message = JSON.parse(text)
  } catch {
    return undefined
  }
  if (!Array.isArray(message)) return undefined
  const [from, keys] = message as unknown[]
  if (typeof from !== 'string') return undefined
  if (keys === null) return [from, null]
  if (!Array.isArray(keys) || !keys.every((key) => typeof key === 'string')) return undefined
  return [from, keys]
}
