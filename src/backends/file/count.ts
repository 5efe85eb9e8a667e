import { chmod, mkdir, readdir, rename, rmdir } from 'node:fs/promises'
import { join } from 'node:path'
import { codeOf, FOLDER_MODE, unless } from './entry-file.js'

/** How often a change is tried again when other processes were faster. */
const MAX_ATTEMPTS = 50

/**
 * How many entries a location holds, about.
 *
 * The count of all processes together is the name of an empty folder, `.fragcache/count-123`:
 * renaming it is a compare and set that costs one call. A process does so when its own changes come
 * to a step, so that adding an entry costs the same however many there are. What a killed process
 * had not counted yet, and what somebody removed by hand, is put right whenever room is made.
 */
export class EntryCount {
  readonly #step: number
  #shared: number | undefined
  /** Changes of this process that are not in the name yet. */
  #pending = 0
  /** Entries that were added here and are not on the disk yet. */
  #unwritten = 0
  #running: Promise<unknown> | undefined

  /**
   * @param work - The folder that holds the count.
   * @param excess - By how many entries the cache may exceed its limit.
   * @param recount - Counts the files.
   */
  constructor(
    private readonly work: string,
    excess: number,
    private readonly recount: () => Promise<number>,
  ) {
    this.#step = Math.max(1, Math.floor(excess / 32))
  }

  /** The count as this process knows it; of its own changes alone before {@link load}. */
  get current(): number {
    return (this.#shared ?? 0) + this.#pending
  }

  /** Finds out the count, unless that was done before. */
  async load(): Promise<void> {
    if (this.#shared !== undefined) return
    await this.#alone(async () => {
      if (this.#shared === undefined) await this.#exchange()
    })
  }

  /** Learns the others' changes. */
  async refresh(): Promise<void> {
    await this.#alone(async () => {
      this.#shared = await this.#find()
      await this.#exchange()
    })
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

  get #isDue(): boolean {
    // A count that is too high does no harm for a while, and many removals are taken back soon.
    return this.#pending >= this.#step || this.#pending <= -Math.max(this.#step, 16)
  }

  /** Shares this process's changes if they have come to a step. */
  async share(): Promise<void> {
    if (!this.#isDue) return
    await this.#alone(async () => {
      if (this.#isDue) await this.#exchange()
    })
  }

  /** Sets the count to what was found on the disk. */
  async reset(found: number): Promise<void> {
    await this.#alone(() => this.#establish(found))
  }

  /** Shares what is left to share, and forgets. */
  async close(): Promise<void> {
    await this.#alone(async () => {
      if (this.#shared !== undefined) await this.#add(this.#pending)
      this.#shared = undefined
      this.#pending = 0
    })
  }

  /** One at a time: who waited may find its changes shared by the one before. */
  async #alone(action: () => Promise<unknown>): Promise<void> {
    while (this.#running !== undefined) await this.#running.catch(() => {})
    this.#running = action().finally(() => (this.#running = undefined))
    await this.#running
  }

  async #exchange(): Promise<void> {
    const change = this.#pending
    if (await this.#add(change)) this.#pending -= change
    else await this.#establish(await this.recount())
  }

  /** @returns `false` if there is no count to add to. */
  async #add(change: number): Promise<boolean> {
    for (let attempt = 0; attempt < MAX_ATTEMPTS; attempt++) {
      this.#shared ??= await this.#find()
      if (this.#shared === undefined || this.#shared + change < 0) return false
      if (change === 0 || (await this.#rename(this.#shared, this.#shared + change))) {
        this.#shared += change
        return true
      }
      this.#shared = undefined
    }
    return false
  }

  /** @returns `false` if the count is another by now. */
  async #rename(from: number, to: number): Promise<boolean> {
    try {
      await rename(this.#path(from), this.#path(to))
      return true
    } catch (error) {
      if (codeOf(error) === 'ENOENT') return false
      // Without a count of all each process counts for itself: no reason to fail a call.
      return true
    }
  }

  async #establish(found: number): Promise<void> {
    this.#pending = this.#unwritten
    this.#shared = found
    try {
      const [first, ...others] = await this.#findAll()
      if (first === undefined) {
        await mkdir(this.#path(found), { mode: FOLDER_MODE })
        await chmod(this.#path(found), FOLDER_MODE)
      } else {
        await rename(this.#path(first), this.#path(found))
      }
      // Two processes made one each.
      for (const other of others) if (other !== found) await rmdir(this.#path(other))
    } catch {
      // As above.
    }
  }

  async #find(): Promise<number | undefined> {
    return (await this.#findAll())[0]
  }

  /** The highest first. */
  async #findAll(): Promise<number[]> {
    const names = (await unless(['ENOENT', 'ENOTDIR'], readdir(this.work))) ?? []
    return names
      .flatMap((name) => /^count-(0|[1-9][0-9]{0,14})$/.exec(name)?.[1] ?? [])
      .map(Number)
      .sort((a, b) => b - a)
  }

  #path(count: number): string {
    return join(this.work, `count-${count}`)
  }
}
