import type { WriteOutcome } from '../../backend/store.js'
import type { Argument, Reply } from './client.js'
import type { Link } from './link.js'
import { replyError } from './reply-error.js'
import { run, WRITE, type WriteCondition } from './scripts.js'

/** Most entries of one script: the server does nothing else while it runs. */
const MAX_ENTRIES = 100

/** Most bytes of the entries of one script, unless it has only one. */
const MAX_BYTES = 1024 * 1024

/** A write with a condition. */
export interface ConditionalWrite {
  readonly key: string
  readonly condition: WriteCondition
  /** What has to be there, unless nothing has. */
  readonly old: Uint8Array | string
  readonly payload: Uint8Array | string
  /** 0: for ever. */
  readonly ttlMs: number
  readonly resolve: (outcome: WriteOutcome) => void
  readonly reject: (error: unknown) => void
}

/** The conditional writes of one call, which go to the server as few scripts. */
export class ConditionalWrites {
  readonly #link: Link
  readonly #maxEntries: number
  #writes: ConditionalWrite[] = []
  #bytes = 0

  /** @param areTogether - Whether all keys live on one server. */
  constructor(link: Link, areTogether: boolean) {
    this.#link = link
    this.#maxEntries = areTogether ? MAX_ENTRIES : 1
  }

  add(write: ConditionalWrite): void {
    const bytes = write.old.length + write.payload.length
    if (this.#writes.length === this.#maxEntries || this.#bytes + bytes > MAX_BYTES) this.send()
    this.#writes.push(write)
    this.#bytes += bytes
  }

  /** Sends what was added and is not sent yet. */
  send(): void {
    const writes = this.#writes
    if (writes.length === 0) return
    this.#writes = []
    this.#bytes = 0
    const [first] = writes
    if (writes.length === 1 && first?.condition === 'absent') this.#add(first)
    else this.#run(writes)
  }

  /** One that is to be new costs least as the command that there is for it. */
  #add({ key, payload, ttlMs, resolve, reject }: ConditionalWrite): void {
    const done = (reply: Reply) => resolve(reply === null ? 'refused' : 'stored')
    this.#link.sendCommand('set', [...setArguments(key, payload, ttlMs), 'NX'], done, reject)
  }

  #run(writes: readonly ConditionalWrite[]): void {
    const keys: string[] = []
    const args: Argument[] = []
    for (const { key, condition, old, payload, ttlMs } of writes) {
      keys.push(key)
      args.push(condition, old, payload, ttlMs)
    }
    run(this.#link, WRITE, keys, args).then(
      (replies) => {
        writes.forEach((write, i) => settle(write, (replies as readonly Reply[])[i]))
      },
      (error: unknown) => {
        for (const { reject } of writes) reject(error)
      },
    )
  }
}

/** Those of `SET`. @param ttlMs - 0: for ever. */
export function setArguments(key: string, payload: Uint8Array | string, ttlMs: number): Argument[] {
  return ttlMs === 0 ? [key, payload] : [key, payload, 'PX', ttlMs]
}

function settle({ resolve, reject }: ConditionalWrite, reply: Reply | undefined): void {
  const outcome = Number(reply)
  if (outcome === 1) resolve('stored')
  else if (outcome === 0) resolve('refused')
  else reject(replyError(String(reply)))
}
