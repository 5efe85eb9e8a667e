import type { WriteOutcome } from '../../backend/store.js'
import type { Argument, Reply } from './client.js'
import type { Command, Link } from './link.js'
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

/** Writes with a condition, which go to the server as few scripts: those of one turn of the event loop together. */
export class ConditionalWrites {
  readonly #link: Link
  #batch: Batch | undefined

  constructor(link: Link) {
    this.#link = link
  }

  /** @param mayJoin - Whether all keys live on one server. */
  add(write: ConditionalWrite, mayJoin: boolean): void {
    if (mayJoin && this.#batch?.takes(write) === true) return
    const batch = new Batch(this.#link, write, () => {
      // What it has written must not stay in memory until the next.
      if (this.#batch === batch) this.#batch = undefined
    })
    this.#batch = batch
  }
}

/** The entries of one script. */
class Batch {
  readonly #link: Link
  readonly #command: Command
  readonly #writes: ConditionalWrite[] = []
  readonly #keys: string[] = []
  readonly #args: Argument[] = []
  #bytes = 0

  /** @param ended - Called when it was answered, or failed. */
  constructor(link: Link, first: ConditionalWrite, ended: () => void) {
    this.#link = link
    const answered = (replies: Reply) => {
      ended()
      this.#writes.forEach((write, i) => settle(write, (replies as readonly Reply[])[i]))
    }
    const failed = (error: unknown) => {
      ended()
      for (const { reject } of this.#writes) reject(error)
    }
    this.#command = run(link, WRITE, this.#keys, this.#args, answered, failed)
    this.#add(first)
  }

  /** Adds one, if there is room for it and what was asked in between is not overtaken. */
  takes(write: ConditionalWrite): boolean {
    const isFull = this.#writes.length === MAX_ENTRIES || this.#bytes + bytesOf(write) > MAX_BYTES
    if (isFull || !this.#link.isOpen(this.#command)) return false
    this.#add(write)
    return true
  }

  #add(write: ConditionalWrite): void {
    this.#writes.push(write)
    this.#keys.push(write.key)
    this.#args.push(write.condition, write.old, write.payload, write.ttlMs)
    this.#bytes += bytesOf(write)
  }
}

function bytesOf({ old, payload }: ConditionalWrite): number {
  return old.length + payload.length
}

function settle({ resolve, reject }: ConditionalWrite, reply: Reply | undefined): void {
  const outcome = Number(reply)
  if (outcome === 1) resolve('stored')
  else if (outcome === 0) resolve('refused')
  else reject(replyError(String(reply)))
}
