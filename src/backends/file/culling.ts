import { currentMs } from '../../current-time.js'
import { isExpired } from '../../timeout.js'
import type { Limits } from '../limits.js'
import { isOwnKey } from '../../own-keys.js'
import type { EntryCount } from './count.js'
import { peekEntryFile } from './entry-file.js'
import type { Folders } from './folders.js'
import { DamagedEntryError } from './format.js'
import { mapLimited } from './limit.js'
import { BusyLockError, type Locks, type Turn } from './locks.js'

/** Up to so many entries are looked at one by one, so that expired ones surely go first. */
const ALL = 1024
/** Of more, so many are looked at: what is estimated by them is off by some three per cent. */
const SAMPLE = 1024
/** A count that is so far from what the sample says is wrong; a smaller distance is chance. */
const DOUBTFUL = 0.25

/** Leftovers are looked for at most once in so long. */
const SWEEP_INTERVAL_MS = 60_000

/** What was looked at. */
interface Survey {
  readonly files: readonly SurveyedFile[]
  /** How many entries there are by it. */
  readonly total: number
  readonly isWhole: boolean
}

interface SurveyedFile {
  readonly shard: string
  readonly file: string
}

interface Victim extends SurveyedFile {
  /** It goes only if it still is dead once the shard is locked. */
  readonly isDead: boolean
}

type Kind = 'dead' | 'live' | 'own'

/** Keeps the number of entries within the limit. */
export class Culling {
  #running: Promise<boolean> | undefined
  #sweptAtMs = -Infinity

  constructor(
    private readonly folders: Folders,
    private readonly locks: Locks,
    private readonly count: EntryCount,
    private readonly limits: Limits,
  ) {}

  /** Counts the files, or a part of them where they are many. */
  async estimate(): Promise<number> {
    return (await this.#survey(ALL)).total
  }

  /**
   * Removes entries, in one call and one process at a time.
   *
   * @returns `false` if nothing could be removed.
   */
  async makeRoom(): Promise<boolean> {
    this.#running ??= this.#makeRoom().finally(() => (this.#running = undefined))
    return this.#running
  }

  async #makeRoom(): Promise<boolean> {
    await this.#sweep()
    try {
      return await this.locks.run('cull', undefined, async (turn) => {
        await this.count.refresh()
        return this.count.current < this.limits.maxEntries || this.#cull(turn)
      })
    } catch (error) {
      // Another process makes room, for a long time: no reason to fail this one's write.
      if (error instanceof BusyLockError) return false
      throw error
    }
  }

  async #sweep(): Promise<void> {
    const nowMs = performance.now()
    if (nowMs - this.#sweptAtMs < SWEEP_INTERVAL_MS) return
    this.#sweptAtMs = nowMs
    await this.locks.sweep()
  }

  async #cull(turn: Turn): Promise<boolean> {
    const { maxEntries, cullFrequency } = this.limits
    const known = this.count.current
    const survey = await this.#survey(known <= ALL ? ALL : SAMPLE)
    const total = survey.isWhole ? survey.total : blend(known, survey.total)
    if (total < maxEntries) {
      await this.count.reset(total)
      return true
    }
    if (cullFrequency === 0) return (await this.clear(undefined, turn)) > 0
    const share = Math.floor(survey.files.length / cullFrequency)
    const least = Math.min(total - maxEntries + 1, survey.files.length)
    const victims = await this.#choose(survey.files, Math.max(share, least))
    const removed = await this.#remove(victims, turn)
    await this.count.reset(total - removed)
    return removed > 0
  }

  /** Lists shards, in random order, until so many entries were seen or all are. */
  async #survey(wanted: number): Promise<Survey> {
    const shards = shuffle(await this.folders.shards())
    const files: SurveyedFile[] = []
    let listed = 0
    // Several at a time where probably all are listed anyway.
    const width = wanted === ALL ? 8 : 1
    while (listed < shards.length && files.length < wanted) {
      const some = shards.slice(listed, listed + width)
      const found = await mapLimited(some, width, (shard) => this.folders.entries(shard))
      some.forEach((shard, i) => files.push(...(found[i] ?? []).map((file) => ({ shard, file }))))
      listed += some.length
    }
    const isWhole = listed === shards.length
    const total = isWhole ? files.length : Math.round((files.length * shards.length) / listed)
    return { files, total, isWhole }
  }

  /**
   * What is dead goes in any case, then entries at random until it is enough. Versions of tags go
   * last, since whatever has the tag goes with them; but where they would be more than half of what
   * stays, so many go first: with a tag per entry, they would else take the place of all entries.
   */
  async #choose(files: readonly SurveyedFile[], quota: number): Promise<Victim[]> {
    const nowMs = currentMs()
    const found: Record<Kind, Victim[]> = { dead: [], live: [], own: [] }
    await mapLimited(files, 8, async (one) => {
      const kind = await kindOf(one.file, nowMs)
      found[kind].push({ ...one, isDead: kind === 'dead' })
    })
    const { dead, live } = found
    const own = shuffle(found.own)
    const excess = Math.max(0, own.length - Math.floor((files.length - quota) / 2))
    const order = [...own.slice(0, excess), ...shuffle(live), ...own.slice(excess)]
    return [...dead, ...order.slice(0, Math.max(0, quota - dead.length))]
  }

  async #remove(victims: readonly Victim[], turn: Turn): Promise<number> {
    const byShard = new Map<string, Victim[]>()
    for (const victim of victims) {
      const some = byShard.get(victim.shard)
      if (some === undefined) byShard.set(victim.shard, [victim])
      else some.push(victim)
    }
    const removed = await mapLimited([...byShard], 4, async ([shard, some]) => {
      await turn.showLife()
      return this.#takeEach(
        shard,
        some.map(({ file }) => file),
        async (file, i) => some[i]?.isDead !== true || isDeadFile(file, currentMs()),
      )
    })
    return removed.reduce((sum, one) => sum + one, 0)
  }

  /** Takes those of a shard's files away that the test picks while the shard is locked. */
  async #takeEach(
    shard: string,
    files: readonly string[],
    goes: (file: string, index: number) => Promise<boolean>,
  ): Promise<number> {
    // Counted outside: a turn that is lost runs again and does not find again what it took.
    let taken = 0
    await this.locks.run(shard, undefined, async (turn) => {
      await mapLimited(files, 8, async (file, i) => {
        if ((await goes(file, i)) && (await turn.take(file))) taken++
      })
    })
    return taken
  }

  /**
   * Removes the entries that caches with this key prefix wrote, and what is damaged.
   *
   * @param owner - The key prefix; `undefined`: all entries.
   * @returns How many went.
   */
  async clear(owner: string | undefined, cullTurn?: Turn): Promise<number> {
    let found = 0
    const removed = await mapLimited(await this.folders.shards(), 4, async (shard) => {
      await cullTurn?.showLife()
      const files = await this.folders.entries(shard)
      if (files.length === 0) return 0
      found += files.length
      return this.#takeEach(shard, files, (file) => isOwnedBy(file, owner))
    })
    const gone = removed.reduce((sum, one) => sum + one, 0)
    await this.count.reset(found - gone)
    return gone
  }
}

async function isDeadFile(file: string, nowMs: number): Promise<boolean> {
  return (await kindOf(file, nowMs)) === 'dead'
}

/** By its beginning alone. What cannot be opened at all is not known to be dead. */
async function kindOf(file: string, nowMs: number): Promise<Kind> {
  try {
    const { key, expiresAtMs } = await peekEntryFile(file)
    if (isExpired(expiresAtMs, nowMs)) return 'dead'
    return expiresAtMs === null && isOwnKey(key) ? 'own' : 'live'
  } catch (error) {
    return error instanceof DamagedEntryError ? 'dead' : 'live'
  }
}

async function isOwnedBy(file: string, owner: string | undefined): Promise<boolean> {
  if (owner === undefined) return true
  try {
    return (await peekEntryFile(file)).owner === owner
  } catch (error) {
    if (error instanceof DamagedEntryError) return true
    throw error
  }
}

/** A sample’s own error averages out over several of them. */
function blend(known: number, sampled: number): number {
  if (Math.abs(sampled - known) > DOUBTFUL * known) return sampled
  return Math.round(0.75 * known + 0.25 * sampled)
}

function shuffle<T>(items: readonly T[]): T[] {
  const shuffled = [...items]
  for (let i = shuffled.length - 1; i > 0; i--) {
    const j = Math.floor(Math.random() * (i + 1))
    ;[shuffled[i], shuffled[j]] = [shuffled[j] as T, shuffled[i] as T]
  }
  return shuffled
}
