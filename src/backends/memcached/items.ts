import type { WriteEntry } from '../../backend/store.js'
import { currentMs } from '../../current-time.js'
import type { Connection } from './connection.js'
import { toCounter } from './counter.js'
import {
  GENERATIONS_KEY,
  generationIn,
  newGenerations,
  parseGenerations,
  type Generations,
} from './generations.js'
import { ask, changeRecord, checkToken, settled } from './records.js'
import {
  AS_EXPECTED,
  VALUE,
  type Item,
  type Payload,
  type StoreMode,
  type StoreReply,
  type Wish,
} from './request.js'
import type { Seen } from './seen.js'
import type { Server } from './server.js'
import type { Spot } from './servers.js'
import { isForeign, isOfGeneration, isPast, makeStamp } from './stamp.js'

/** What is written of an entry. */
type Written = Pick<WriteEntry<Payload>, 'payload' | 'expiresAtMs'>

/** An entry as it lies there, and whether it counts. */
export interface FoundItem {
  readonly item: Item
  readonly isLive: boolean
}

/** What lies on the servers, each read and written together with the generation that it counts in. */
export class Items {
  /** @param flushes - `clear` empties the servers, and there are no generations. */
  constructor(readonly flushes: boolean) {}

  /** Whether nothing can be written to a server before its record is read. */
  isUnseen({ record }: Server): boolean {
    return record === undefined && !this.flushes
  }

  /**
   * Reads an item, and the generations along with it.
   *
   * @param done - Gets also whether the item counts.
   * @param connection - On which other commands about the same item go.
   */
  get(
    spot: Spot,
    key: string,
    wish: Wish,
    done: (error: Error | undefined, item: Item | undefined, isLive: boolean) => void,
    connection = spot.server.acquire(),
  ): void {
    const seen = this.#see(spot.server, connection)
    connection.send({
      type: 'get',
      key,
      wish,
      done: (error, item) => {
        const failure = error ?? seen.error
        if (failure !== undefined || item === undefined) done(failure, undefined, false)
        else done(undefined, item, this.#isLive(item, seen, spot))
      },
    })
  }

  /**
   * Reads an item before it is replaced. What does not count is surely dead. One promise per step: for what is not
   * asked often.
   */
  async peek(spot: Spot, key: string, wish: Wish): Promise<FoundItem | undefined> {
    const found = await new Promise<FoundItem | undefined>((resolve, reject) => {
      this.get(spot, key, wish, (error, item, isLive) => {
        if (error === undefined) resolve(item && { item, isLive })
        else reject(error)
      })
    })
    if (found === undefined || found.isLive || isPast(found.item.flags, currentMs())) return found
    // The record was read first: the generation of this item may have begun in between.
    const { item } = found
    const answer = await ask<Item | undefined>(spot.server.acquire(), (done) => ({
      type: 'get',
      key: GENERATIONS_KEY,
      wish: VALUE,
      isAlone: true,
      done,
    }))
    const record = answer && readRecord(answer, spot.server.record)
    return { item, isLive: this.#isLive(item, { record, error: undefined }, spot) }
  }

  #isLive({ flags }: Item, { record }: Seen, { namespace }: Spot): boolean {
    if (isForeign(flags)) return true
    if (isPast(flags, currentMs())) return false
    if (this.flushes) return true
    return record !== undefined && isOfGeneration(flags, generationIn(record, namespace))
  }

  /** Asks for the generations, once for all commands that go out together. */
  #see(server: Server, connection: Connection): Seen {
    if (this.flushes) return NOTHING_SEEN
    if (connection.seen !== undefined) return connection.seen
    const seen: Seen = { record: undefined, error: undefined }
    const known = server.record
    connection.seen = seen
    connection.send({
      type: 'get',
      key: GENERATIONS_KEY,
      wish: VALUE,
      expected: known?.bytes,
      // Its number tells whether what was sent with it is answered in step.
      isAlone: true,
      done: (error, item) => {
        if (item === AS_EXPECTED) seen.record = known
        else if (error !== undefined) seen.error = error
        else if (item !== undefined) seen.record = readRecord(item, known)
        if (seen.record !== undefined) server.record = seen.record
      },
    })
    return seen
  }

  /** Writes in the generation of now, as {@link send} does. */
  async store(
    spot: Spot,
    key: string,
    entry: Written,
    mode: StoreMode,
    cas?: string,
  ): Promise<StoreReply | 'outdated'> {
    if (mode === 'cas') checkToken(cas)
    const { server } = spot
    if (this.isUnseen(server)) await this.#begin(server)
    return new Promise((resolve, reject) => {
      this.send(spot, key, entry, mode, cas, settled(resolve, reject))
    })
  }

  /**
   * Writes in the generation that was seen last.
   *
   * @param done - Gets `outdated` if there is a newer generation, in which what was written is dead.
   */
  send(
    spot: Spot,
    key: string,
    { payload, expiresAtMs }: Written,
    mode: StoreMode,
    cas: string | undefined,
    done: (error: Error | undefined, written: StoreReply | 'outdated') => void,
  ): void {
    const { server, namespace } = spot
    const { record } = server
    const generation = record === undefined ? 0 : generationIn(record, namespace)
    const counter = toCounter(payload)
    const stamp = makeStamp(expiresAtMs, currentMs(), counter !== undefined, generation)
    const connection = server.acquire()
    const seen = this.#see(server, connection)
    connection.send({
      type: 'store',
      mode,
      key,
      value: counter ?? payload,
      flags: stamp.flags,
      exptime: stamp.exptime,
      cas: cas ?? '0',
      done: (error, reply = 'refused') => {
        const failure = error ?? seen.error
        if (failure !== undefined || this.flushes || reply === 'too_large') {
          done(failure, reply)
        } else if (seen.record === undefined) {
          // Lost with all its generations, or never written.
          server.lost(record)
          done(undefined, 'outdated')
        } else {
          const isCurrent = generationIn(seen.record, namespace) === generation
          done(undefined, isCurrent ? reply : 'outdated')
        }
      },
    })
  }

  /** Reads the record of a server, or makes its first. */
  #begin(server: Server): Promise<Generations> {
    return server.beginning(async () => {
      const lost = server.lostRecord
      return changeRecord(server.acquire(), (known) => known ?? newGenerations(lost))
    })
  }
}

const NOTHING_SEEN: Seen = { record: undefined, error: undefined }

function readRecord({ value }: Item, known: Generations | undefined): Generations | undefined {
  return known?.bytes.equals(value) === true ? known : parseGenerations(value.toString('latin1'))
}
