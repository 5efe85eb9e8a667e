import type { WriteEntry, WriteOutcome } from '../../backend/store.js'
import { currentMs } from '../../current-time.js'
import { addIntegers } from '../../serializer.js'
import type { Deadline } from '../../timeout.js'
import type { Connection } from './connection.js'
import { fromCounter, fromUnsigned, toUnsigned } from './counter.js'
import type { FoundItem, Items } from './items.js'
import { ask, clearNamespaces, MAX_CONFLICTS, tooManyConflicts } from './records.js'
import {
  FLAGS,
  SECONDS_LEFT,
  TOKEN,
  VALUE,
  VALUE_AND_TOKEN,
  type Item,
  type Payload,
} from './request.js'
import type { Servers, Spot } from './servers.js'
import { foreignExptime, isCounter, isForeign, readStampedDeadline } from './stamp.js'
import { wireKey } from './wire.js'

/** What was there before a command. */
interface Noted {
  found: FoundItem | undefined
  failure: Error | undefined
}

/**
 * Entries as the base class wants them, over servers that know neither milliseconds, nor numbers
 * below zero, nor key prefixes.
 */
export class MemcachedEntries {
  readonly #servers: Servers
  readonly #items: Items

  constructor(servers: Servers, items: Items) {
    this.#servers = servers
    this.#items = items
  }

  /** Reads the payload of a live entry. */
  read(
    storedKey: string,
    done: (error: Error | undefined, payload: Buffer | undefined) => void,
  ): void {
    try {
      const spot = this.#servers.find(storedKey)
      this.#items.get(spot, wireKey(storedKey), VALUE, (error, item, isLive) => {
        done(error, item !== undefined && isLive ? payloadOf(item) : undefined)
      })
    } catch (error) {
      done(error as Error, undefined)
    }
  }

  /** Writes an entry if its condition holds. */
  write(
    entry: WriteEntry<Payload>,
    done: (outcome: WriteOutcome) => void,
    failed: (error: unknown) => void,
  ): void {
    try {
      const spot = this.#servers.find(entry.key)
      const key = wireKey(entry.key)
      const isAdd = entry.ifAbsent === true
      const inSteps = () => {
        const isPlain = !isAdd && entry.replacing === undefined
        const written = isPlain ? this.#set(spot, key, entry) : this.#replace(spot, key, entry)
        written.then(done, failed)
      }
      if (entry.replacing !== undefined || this.#items.isUnseen(spot.server)) {
        inSteps()
        return
      }
      // The usual ones: without a promise of their own. What refuses to be added to may be dead, and then is absent.
      const before = isAdd ? this.#note(spot, key, spot.server.acquire()) : undefined
      const mode = isAdd ? 'add' : 'set'
      this.#items.send(spot, key, entry, mode, undefined, (error, written) => {
        if (error !== undefined) failed(error)
        else if (written === 'stored' || written === 'too_large') done(written)
        else if (written === 'refused' && before?.found?.isLive === true) done(written)
        else inSteps()
      })
    } catch (error) {
      failed(error)
    }
  }

  async #set(spot: Spot, key: string, entry: WriteEntry<Payload>): Promise<WriteOutcome> {
    for (let i = 0; i < MAX_CONFLICTS; i++) {
      const written = await this.#items.store(spot, key, entry, 'set')
      if (written !== 'outdated') return written === 'missing' ? 'refused' : written
    }
    throw tooManyConflicts()
  }

  async #replace(spot: Spot, key: string, entry: WriteEntry<Payload>): Promise<WriteOutcome> {
    const { ifAbsent = false, replacing } = entry
    const wish = replacing === undefined ? TOKEN : VALUE_AND_TOKEN
    for (let i = 0; i < MAX_CONFLICTS; i++) {
      const found = await this.#items.peek(spot, key, wish)
      const isAllowed =
        found?.isLive === true
          ? replacing !== undefined && payloadOf(found.item).equals(toBytes(replacing))
          : ifAbsent
      if (!isAllowed) return 'refused'
      const mode = found === undefined ? 'add' : 'cas'
      const written = await this.#items.store(spot, key, entry, mode, found?.item.cas)
      if (written === 'stored' || written === 'too_large') return written
    }
    throw tooManyConflicts()
  }

  /** Removes an entry. @returns Whether it was live. */
  async remove(storedKey: string): Promise<boolean> {
    const spot = this.#servers.find(storedKey)
    const key = wireKey(storedKey)
    const connection = spot.server.acquire()
    const before = this.#note(spot, key, connection)
    const wasThere = await ask<boolean | undefined>(connection, (done) => ({
      type: 'remove',
      key,
      done,
    }))
    return before.found?.isLive === true && wasThere === true
  }

  /**
   * Gives a live entry a new deadline: writes it again, since its deadline is part of what is stored.
   * Another program's keeps the flags by which that program reads it.
   */
  async touch(storedKey: string, expiresAtMs: Deadline): Promise<boolean> {
    const spot = this.#servers.find(storedKey)
    const key = wireKey(storedKey)
    for (let i = 0; i < MAX_CONFLICTS; i++) {
      const found = await this.#items.peek(spot, key, VALUE_AND_TOKEN)
      if (found?.isLive !== true) return false
      if (isForeign(found.item.flags)) {
        const exptime = foreignExptime(expiresAtMs, currentMs())
        const wasThere = await ask<boolean | undefined>(spot.server.acquire(), (done) => ({
          type: 'touch',
          key,
          exptime,
          done,
        }))
        return wasThere === true
      }
      const entry = { payload: payloadOf(found.item), expiresAtMs }
      const written = await this.#items.store(spot, key, entry, 'cas', found.item.cas)
      if (written === 'stored') return true
      if (written === 'missing') return false
    }
    throw tooManyConflicts()
  }

  /** Adds to a whole number, in one round trip unless it is written again meanwhile. */
  async increment(storedKey: string, delta: number): Promise<number | null | undefined> {
    const spot = this.#servers.find(storedKey)
    const key = wireKey(storedKey)
    const connection = spot.server.acquire()
    const before = this.#note(spot, key, connection)
    const { sum, cas } = await count(connection, key, toUnsigned(delta))
    if (sum === undefined) return undefined
    if (before.failure !== undefined) throw before.failure
    let { found } = before
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
  ): Promise<FoundItem | undefined> {
    const now = await this.#items.peek(spot, key, VALUE_AND_TOKEN)
    if (now?.isLive !== true) return undefined
    // An entry that was written where there was none was live, even if somebody has changed it since.
    if (!wasThere) return now
    const hasToken = cas !== undefined && cas !== '0'
    const isSame = hasToken
      ? now.item.cas === cas
      : now.item.value.toString('latin1').trimEnd() === String(sum)
    return isSame ? now : undefined
  }

  /** Reads the flags of an entry on the connection on which a command is going to follow. */
  #note(spot: Spot, key: string, connection: Connection): Noted {
    const noted: Noted = { found: undefined, failure: undefined }
    const done = (failure: Error | undefined, item: Item | undefined, isLive: boolean) => {
      noted.failure = failure
      noted.found = item && { item, isLive }
    }
    this.#items.get(spot, key, FLAGS, done, connection)
    return noted
  }

  /**
   * The deadline of a live entry.
   *
   * @param fallbackMs - That of another program's entry where the server cannot tell it.
   */
  async deadline(storedKey: string, fallbackMs: Deadline): Promise<Deadline | undefined> {
    const spot = this.#servers.find(storedKey)
    const found = await this.#items.peek(spot, wireKey(storedKey), SECONDS_LEFT)
    if (found?.isLive !== true) return undefined
    const { flags, secondsLeft } = found.item
    const deadline = readStampedDeadline(flags, secondsLeft, currentMs())
    return deadline === undefined ? fallbackMs : deadline
  }

  /** Makes every entry of this cache a miss, on all servers. */
  async clear(): Promise<void> {
    await Promise.all(
      this.#servers.cleared().map(async ({ server, namespaces }) => {
        if (this.#items.flushes) await ask(server.acquire(), (done) => ({ type: 'flush', done }))
        else {
          const known = server.record ?? server.lostRecord
          server.record = await clearNamespaces(server.acquire(), known, namespaces)
        }
      }),
    )
  }
}

/** The bytes of a payload. */
export function toBytes(payload: Payload): Uint8Array {
  return typeof payload === 'string' ? Buffer.from(payload, 'latin1') : payload
}

function payloadOf({ value, flags }: Item): Buffer {
  return isCounter(flags) || isForeign(flags) ? fromCounter(value) : value
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
