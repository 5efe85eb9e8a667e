import { open, rename } from 'node:fs/promises'
import { join } from 'node:path'
import { APPEND_FLAGS, READ_FLAGS, removeFile, writeNewFile } from './entry-file.js'
import { newToken } from './locks.js'

/** A file of changes longer than this is written anew as their sum. */
const MAX_BYTES = 4096

/**
 * How many entries a location holds, about.
 *
 * All processes add to one file, `.fragcache/count`: a line per change, their sum is the count. A
 * process writes when its own changes come to a step, so that adding an entry costs the same
 * however many there are, and reads the others' changes along with it. What a killed process had
 * not written yet, and what somebody removed by hand, is put right whenever room is made.
 */
export class EntryCount {
  readonly #path: string
  readonly #step: number
  #shared: number | undefined
  /** Changes of this process that are not in the file yet. */
  #pending = 0
  /** Entries that were added here and are not on the disk yet. */
  #unwritten = 0
  #running: Promise<unknown> | undefined

  /**
   * @param work - The folder of the file.
   * @param excess - By how many entries the cache may exceed its limit.
   * @param recount - Counts the files.
   */
  constructor(
    private readonly work: string,
    excess: number,
    private readonly recount: () => Promise<number>,
  ) {
    this.#path = join(work, 'count')
    this.#step = Math.max(1, Math.floor(excess / 32))
  }

  /** The count as this process knows it; 0 before {@link load}. */
  get current(): number {
    return (this.#shared ?? 0) + this.#pending
  }

  /** Reads the file unless that was done before, and makes it if it is not there or damaged. */
  async load(): Promise<void> {
    if (this.#shared !== undefined) return
    await this.#alone(async () => {
      if (this.#shared === undefined) await this.#exchange()
    })
  }

  /** Reads the others' changes. */
  async refresh(): Promise<void> {
    await this.#alone(() => this.#exchange())
  }

  get #isDue(): boolean {
    // A count that is too high does no harm for a while, and many removals are taken back soon.
    return this.#pending >= this.#step || this.#pending <= -Math.max(this.#step, 16)
  }

  /** Counts an entry that is about to be written. */
  reserve(): void {
    this.#pending++
    this.#unwritten++
  }

  /** Says what became of a reserved entry. */
  settle(written: boolean): void {
    this.#unwritten--
    if (!written) this.#pending--
  }

  removed(count: number): void {
    this.#pending -= count
  }

  /** Writes this process's changes if they have come to a step. */
  async share(): Promise<void> {
    if (!this.#isDue) return
    await this.#alone(async () => {
      if (this.#isDue) await this.#exchange()
    })
  }

  /** Sets the count to what was found on the disk. */
  async reset(found: number): Promise<void> {
    this.#pending = this.#unwritten
    this.#shared = found
    await this.#alone(() => this.#write(found))
  }

  /** Writes what is left to write, and forgets. */
  async close(): Promise<void> {
    if (this.#shared === undefined) return
    if (this.#pending !== 0) await this.#alone(() => this.#append(this.#pending)).catch(ignore)
    this.#shared = undefined
    this.#pending = 0
  }

  /** One at a time: who waited may find its changes written by the one before. */
  async #alone(action: () => Promise<unknown>): Promise<void> {
    while (this.#running !== undefined) await this.#running.catch(ignore)
    this.#running = action().finally(() => (this.#running = undefined))
    await this.#running
  }

  async #exchange(): Promise<void> {
    const change = this.#pending
    const text = await this.#append(change).catch(() => '')
    const sum = sumOf(text)
    if (sum === undefined) {
      const found = await this.recount()
      this.#pending = this.#unwritten
      this.#shared = found
      await this.#write(found)
      return
    }
    this.#pending -= change
    this.#shared = sum
    if (text.length > MAX_BYTES) await this.#write(sum)
  }

  async #append(change: number): Promise<string> {
    const handle = await open(this.#path, change === 0 ? READ_FLAGS : APPEND_FLAGS)
    try {
      if (change !== 0) await handle.write(`${change}\n`)
      const bytes = Buffer.alloc(4 * MAX_BYTES)
      const { bytesRead } = await handle.read(bytes, 0, bytes.length, 0)
      return bytes.toString('latin1', 0, bytesRead)
    } finally {
      await handle.close()
    }
  }

  /** Without a file each process counts for itself: no reason to fail a call. */
  async #write(sum: number): Promise<void> {
    const fresh = join(this.work, `count-${await newToken()}`)
    try {
      await writeNewFile(fresh, `${sum}\n`)
      await rename(fresh, this.#path)
    } catch {
      await removeFile(fresh).catch(ignore)
    }
  }
}

function ignore(): void {}

/** @returns `undefined` for a file that is not as it was written. */
function sumOf(text: string): number | undefined {
  if (!/^(-?[0-9]{1,15}\n)+$/.test(text)) return undefined
  const sum = text.split('\n').reduce((total, line) => total + Number(line), 0)
  return sum >= 0 ? sum : undefined
}
