import type { WriteEntry, WriteOutcome } from '../../backend/store.js'
import { addIntegers } from '../../serializer.js'
import type { Deadline } from '../../timeout.js'
import type { Connection } from './connection.js'
import { fromCounter, fromUnsigned, toCounter, toUnsigned } from './counter.js'
import {
  GENERATIONS_KEY,
  generationIn,
  newGenerations,
  parseGenerations,
  type Generations,
} from './generations.js'
import {
  changeRecord,
  checkToken,
  clearNamespaces,
  MAX_CONFLICTS,
  settled,
  tooManyConflicts,
} from './records.js'
import { AS_EXPECTED, type Item, type Payload, type StoreMode, type StoreReply } from './request.js'
import type { Servers, Spot } from './servers.js'
import type { Seen } from './seen.js'
import type { Server } from './server.js'
import {
  foreignExptime,
  isCounter,
  isForeign,
  isOfGeneration,
  isPast,
  makeStamp,
  readStampedDeadline,
} from './stamp.js'
import { wireKey } from './wire.js'

/** What to read of an entry. */
interface Wish {
  readonly withValue: boolean
  readonly withCas: boolean
  readonly withSecondsLeft: boolean
}

const VALUE: Wish = { withValue: true, withCas: false, withSecondsLeft: false }
const FLAGS: Wish = { withValue: false, withCas: false, withSecondsLeft: false }
const TOKEN: Wish = { withValue: false, withCas: true, withSecondsLeft: false }
const VALUE_AND_TOKEN: Wish = { withValue: true, withCas: true, withSecondsLeft: false }
const SECONDS_LEFT: Wish = { withValue: false, withCas: false, withSecondsLeft: true }

/** What is written of an entry. */
type Written = Pick<WriteEntry<Payload>, 'payload' | 'expiresAtMs'>

/** An entry as it lies there, and whether it counts. */
interface Found {
  readonly item: Item
  readonly isLive: boolean
}

/**
 * Entries as the base class wants them, over servers that know neither milliseconds, nor numbers
 * below zero, nor key prefixes.
 */
export class MemcachedEntries {
  readonly #servers: Servers
  readonly #flushes: boolean

  /** @param flushes - `clear` empties the servers, and there are no generations. */
  constructor(servers: Servers, flushes: boolean) {
    this.#servers = servers
    this.#flushes = flushes
  }

  /** Reads the payload of a live entry. */
  read(
    storedKey: string,
    done: (error: Error | undefined, payload: Buffer | undefined) => void,
  ): void {
    try {
      const spot = this.#servers.find(storedKey)
      this.#get(spot, wireKey(storedKey), VALUE, (error, found) => {
        done(error, found?.isLive === true ? payloadOf(found.item) : undefined)
      })
    } catch (error) {
      done(error as Error, undefined)
    }
  }

  #get(
    spot: Spot,
    key: string,
    wish: Wish,
    done: (error: Error | undefined, found: Found | undefined) => void,
    connection = spot.server.acquire(),
  ): void {
    const seen = this.#see(spot.server, connection)
    connection.send({
      type: 'get',
      key,
      withValue: wish.withValue,
      withCas: wish.withCas,
      withSecondsLeft: wish.withSecondsLeft,
      done: (error, item) => {
        const failure = error ?? seen.error
        if (failure !== undefined) done(failure, undefined)
        else done(undefined, item && { item, isLive: this.#isLive(item, seen, spot) })
      },
    })
  }

  /** One promise per step: for what is not asked often. */
  #peek(spot: Spot, key: string, wish: Wish, connection?: Connection): Promise<Found | undefined> {
    return new Promise((resolve, reject) => {
      this.#get(spot, key, wish, settled(resolve, reject), connection)
    })
  }

  #isLive({ flags }: Item, { record }: Seen, { namespace }: Spot): boolean {
    if (isForeign(flags)) return true
    if (isPast(flags, Date.now())) return false
    if (this.#flushes) return true
    return record !== undefined && isOfGeneration(flags, generationIn(record, namespace))
  }

  /** Asks for the generations, once for all commands that go out together. */
  #see(server: Server, connection: Connection): Seen {
    if (this.#flushes) return NOTHING_SEEN
    if (connection.seen !== undefined) return connection.seen
    const seen: Seen = { record: undefined, error: undefined }
    const known = server.record
    connection.seen = seen
    connection.send({
      type: 'get',
      key: GENERATIONS_KEY,
      withValue: true,
      withCas: false,
      withSecondsLeft: false,
      expected: known?.bytes,
      done: (error, item) => {
        if (item === AS_EXPECTED) seen.record = known
        else if (error !== undefined) seen.error = error
        else if (item !== undefined) seen.record = readRecord(item, known)
        if (seen.record !== undefined) server.record = seen.record
      },
    })
    return seen
  }

  /** Writes an entry if its condition holds. */
  write(
    entry: WriteEntry<Payload>,
    done: (error: Error | undefined, outcome: WriteOutcome) => void,
  ): void {
    const again = (write: Promise<WriteOutcome>) => {
      write.then(
        (outcome) => {
          done(undefined, outcome)
        },
        (error: unknown) => {
          done(error as Error, 'failed')
        },
      )
    }
    try {
      const spot = this.#servers.find(entry.key)
      const key = wireKey(entry.key)
      if (entry.replacing !== undefined) again(this.#replace(spot, key, entry))
      else if (entry.ifAbsent === true) again(this.#add(spot, key, entry))
      else if (spot.server.record === undefined && !this.#flushes) {
        again(this.#set(spot, key, entry))
      } else {
        // The usual one: without a promise of its own.
        this.#send(spot, key, entry, 'set', undefined, (error, written) => {
          if (error !== undefined) done(error, 'failed')
          else if (written === 'stored' || written === 'too_large') done(undefined, written)
          else again(this.#set(spot, key, entry))
        })
      }
    } catch (error) {
      done(error as Error, 'failed')
    }
  }

  async #set(spot: Spot, key: string, entry: WriteEntry<Payload>): Promise<WriteOutcome> {
    for (let i = 0; i < MAX_CONFLICTS; i++) {
      const written = await this.#store(spot, key, entry, 'set')
      if (written !== 'outdated') return written === 'missing' ? 'refused' : written
    }
    throw tooManyConflicts()
  }

  /** Adds, and in the same round trip looks at what may be there already. */
  async #add(spot: Spot, key: string, entry: WriteEntry<Payload>): Promise<WriteOutcome> {
    let there: Promise<Found | undefined> | undefined
    const look = (connection: Connection) => {
      there = this.#peek(spot, key, FLAGS, connection)
      there.catch(ignore)
    }
    const written = await this.#store(spot, key, entry, 'add', undefined, look)
    if (written === 'stored' || written === 'too_large') return written
    if (written === 'refused' && (await there)?.isLive === true) return 'refused'
    // What lies there is dead, and counts as absent.
    return this.#replace(spot, key, entry)
  }

  async #replace(spot: Spot, key: string, entry: WriteEntry<Payload>): Promise<WriteOutcome> {
    const { ifAbsent = false, replacing } = entry
    const wish = replacing === undefined ? TOKEN : VALUE_AND_TOKEN
    for (let i = 0; i < MAX_CONFLICTS; i++) {
      const found = await this.#peek(spot, key, wish)
      const isAllowed =
        found?.isLive === true
          ? replacing !== undefined && payloadOf(found.item).equals(toBytes(replacing))
          : ifAbsent
      if (!isAllowed) return 'refused'
      const mode = found === undefined ? 'add' : 'cas'
      const written = await this.#store(spot, key, entry, mode, found?.item.cas)
      if (written === 'stored' || written === 'too_large') return written
    }
    throw tooManyConflicts()
  }

  /** Writes in the generation of now, as {@link #send} does. */
  async #store(
    spot: Spot,
    key: string,
    entry: Written,
    mode: StoreMode,
    cas?: string,
    then?: (connection: Connection) => void,
  ): Promise<StoreReply | 'outdated'> {
    if (mode === 'cas') checkToken(cas)
    const { server } = spot
    if (server.record === undefined && !this.#flushes) await this.#begin(server)
    return new Promise((resolve, reject) => {
      const connection = this.#send(spot, key, entry, mode, cas, settled(resolve, reject))
      then?.(connection)
    })
  }

  /**
   * Writes in the generation that was seen last.
   *
   * @param done - Is told `outdated` if there is a newer one, in which what was written is dead.
   */
  #send(
    spot: Spot,
    key: string,
    { payload, expiresAtMs }: Written,
    mode: StoreMode,
    cas: string | undefined,
    done: (error: Error | undefined, written: StoreReply | 'outdated') => void,
  ): Connection {
    const { server, namespace } = spot
    const { record } = server
    const generation = record === undefined ? 0 : generationIn(record, namespace)
    const counter = toCounter(payload)
    const stamp = makeStamp(expiresAtMs, Date.now(), counter !== undefined, generation)
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
        if (failure !== undefined || this.#flushes || reply === 'too_large') {
          done(failure, reply)
        } else if (seen.record === undefined) {
          // Lost with all it told of, or never made.
          server.lost(record)
          done(undefined, 'outdated')
        } else {
          const isCurrent = generationIn(seen.record, namespace) === generation
          done(undefined, isCurrent ? reply : 'outdated')
        }
      },
    })
    return connection
  }

  /** Reads the record of a server, or makes its first. */
  #begin(server: Server): Promise<Generations> {
    return server.beginning(async () => {
      const lost = server.lostRecord
      return changeRecord(server.acquire(), (known) => known ?? newGenerations(lost))
    })
  }

  /** Removes an entry. @returns Whether it was live. */
  remove(storedKey: string): Promise<boolean> {
    const spot = this.#servers.find(storedKey)
    const key = wireKey(storedKey)
    return new Promise((resolve, reject) => {
      const connection = spot.server.acquire()
      let wasLive = false
      const before = (_: Error | undefined, found: Found | undefined) => {
        wasLive = found?.isLive === true
      }
      this.#get(spot, key, FLAGS, before, connection)
      connection.send({
        type: 'remove',
        key,
        done: (error, wasThere) => {
          if (error === undefined) resolve(wasLive && wasThere === true)
          else reject(error)
        },
      })
    })
  }

  /**
   * Gives a live entry a new deadline: writes it again, since its deadline is part of what is stored.
   * Another program's keeps the flags by which that program reads it.
   */
  async touch(storedKey: string, expiresAtMs: Deadline): Promise<boolean> {
    const spot = this.#servers.find(storedKey)
    const key = wireKey(storedKey)
    for (let i = 0; i < MAX_CONFLICTS; i++) {
      const found = await this.#peek(spot, key, VALUE_AND_TOKEN)
      if (found?.isLive !== true) return false
      if (isForeign(found.item.flags)) {
        return touch(spot.server.acquire(), key, foreignExptime(expiresAtMs, Date.now()))
      }
      const entry = { payload: payloadOf(found.item), expiresAtMs }
      const written = await this.#store(spot, key, entry, 'cas', found.item.cas)
      if (written === 'stored') return true
      if (written === 'missing') return false
    }
    throw tooManyConflicts()
  }

  /** Adds to a whole number, in one round trip unless it is written again meanwhile. */
  async increment(storedKey: string, delta: number): Promise<number | null | undefined> {
    const spot = this.#servers.find(storedKey)
    const key = wireKey(storedKey)
    const { connection, before } = this.#note(spot, key)
    const { sum, cas } = await count(connection, key, toUnsigned(delta))
    if (sum === undefined) return undefined
    let found = before()
    if (found?.isLive !== true) {
      if (sum === null) return undefined
      // Either a dead entry was added to, or one that was written between our two commands.
      found = await this.#recount(spot, key, found !== undefined, sum, cas)
      if (found === undefined) return undefined
    }
    if (sum === null) return null
    const result = fromUnsigned(sum)
    const isNumber = isForeign(found.item.flags) || isCounter(found.item.flags)
    if (isNumber && result !== undefined) return result
    await count(spot.server.acquire(), key, toUnsigned(-delta))
    if (!isNumber) return null
    const value = fromUnsigned(BigInt.asUintN(64, sum - BigInt(delta)))
    return value === undefined ? null : addIntegers(value, delta)
  }

  /**
   * Looks at an entry that was added to, though it was not live right before.
   *
   * @param wasThere - It was there, but dead.
   * @param cas - The token it had after.
   * @returns It, if it was live when it was added to.
   */
  async #recount(
    spot: Spot,
    key: string,
    wasThere: boolean,
    sum: bigint,
    cas: string | undefined,
  ): Promise<Found | undefined> {
    const now = await this.#peek(spot, key, VALUE_AND_TOKEN)
    if (now?.isLive !== true) return undefined
    // What was written after nothing was there was live, whoever has changed it since.
    if (!wasThere) return now
    const hasToken = cas !== undefined && cas !== '0'
    const isSame = hasToken
      ? now.item.cas === cas
      : now.item.value.toString('latin1').trimEnd() === String(sum)
    return isSame ? now : undefined
  }

  /** Reads the flags of an entry on the connection on which a command is going to follow. */
  #note(spot: Spot, key: string): { connection: Connection; before: () => Found | undefined } {
    const connection = spot.server.acquire()
    let noted: Found | undefined
    let failure: Error | undefined
    const done = (error: Error | undefined, found: Found | undefined) => {
      failure = error
      noted = found
    }
    this.#get(spot, key, FLAGS, done, connection)
    return {
      connection,
      before: () => {
        if (failure !== undefined) throw failure
        return noted
      },
    }
  }

  /**
   * The deadline of a live entry.
   *
   * @param fallbackMs - That of another program's entry where the server cannot tell it.
   */
  async deadline(storedKey: string, fallbackMs: Deadline): Promise<Deadline | undefined> {
    const spot = this.#servers.find(storedKey)
    const found = await this.#peek(spot, wireKey(storedKey), SECONDS_LEFT)
    if (found?.isLive !== true) return undefined
    const { flags, secondsLeft } = found.item
    const deadline = readStampedDeadline(flags, secondsLeft, Date.now())
    return deadline === undefined ? fallbackMs : deadline
  }

  /** Makes every entry of this cache a miss, on all servers. */
  async clear(): Promise<void> {
    await Promise.all(
      this.#servers.cleared().map(async ({ server, namespaces }) => {
        if (this.#flushes) await flush(server.acquire())
        else {
          const known = server.record ?? server.lostRecord
          server.record = await clearNamespaces(server.acquire(), known, namespaces)
        }
      }),
    )
  }
}

const NOTHING_SEEN: Seen = { record: undefined, error: undefined }

/** The bytes of a payload. */
export function toBytes(payload: Payload): Uint8Array {
  return typeof payload === 'string' ? Buffer.from(payload, 'latin1') : payload
}

/** Whoever needs the answer awaits it and sees the failure. */
function ignore(): void {
  return undefined
}

function payloadOf({ value, flags }: Item): Buffer {
  return isCounter(flags) || isForeign(flags) ? fromCounter(value) : value
}

function readRecord({ value }: Item, known: Generations | undefined): Generations | undefined {
  return known?.bytes.equals(value) === true ? known : parseGenerations(value.toString('latin1'))
}

function count(
  connection: Connection,
  key: string,
  delta: bigint,
): Promise<{ readonly sum: bigint | null | undefined; readonly cas: string | undefined }> {
  return new Promise((resolve, reject) => {
    connection.send({
      type: 'count',
      key,
      delta,
      done: (error, sum, cas) => {
        if (error === undefined) resolve({ sum, cas })
        else reject(error)
      },
    })
  })
}

function touch(connection: Connection, key: string, exptime: number): Promise<boolean> {
  return new Promise((resolve, reject) => {
    const done = settled(resolve, reject)
    connection.send({
      type: 'touch',
      key,
      exptime,
      done: (error, wasThere) => {
        done(error, wasThere === true)
      },
    })
  })
}

async function flush(connection: Connection): Promise<void> {
  await new Promise<string | undefined>((resolve, reject) => {
    connection.send({ type: 'flush', done: settled(resolve, reject) })
  })
}
