import type { ChangeListener, Hit, WriteEntry, WriteOutcome } from '../backend.js'
import { Cache, type KeyOptions } from '../cache.js'
import { CacheBackendError } from '../errors.js'
import { checkVersion, defaultKeyFunction } from '../keys.js'
import { LEASE_KEY_PREFIX } from '../making/lease.js'
import { chain, type MaybePromise } from '../maybe-promise.js'
import { FORMAT_SETTINGS, PayloadFormat } from '../payload-format.js'
import { addIntegers, type Unpacked } from '../serializer.js'
import type { ServerFigures } from '../server-stats.js'
import { CLOCK_KEY, TAG_KEY_PREFIX, type TagVersions } from '../tags.js'
import type { Deadline } from '../timeout.js'
import { watchKeys } from './redis/changes.js'
import type { Argument, Reply } from './redis/client.js'
import { Confirmation, resolveDurable } from './redis/durable.js'
import { FollowsLeader } from './redis/follows-leader.js'
import { escapeGlob, keySpaceOf, surroundings } from './redis/key-space.js'
import { Link, type ClientSource } from './redis/link.js'
import { Scanner } from './redis/scanner.js'
import { readFigures } from './redis/server-figures.js'
import { INCREMENT, REPLACE, run } from './redis/scripts.js'
import { SameServer, SERVER_KEY_PREFIX } from './redis/same-server.js'
import { resolveFlush, resolveTarget, type RedisSettings } from './redis/settings.js'
import { commandSources, listeningSource, separateSource } from './redis/sources.js'

export type { FormatSettings, ValueSerializer } from '../payload-format.js'
export { RedisBus, type RedisBusSettings } from './redis/bus.js'
export type { RedisClient } from './redis/client.js'
export type { DurableInvalidations } from './redis/durable.js'
export type { RedisOptions, RedisSettings } from './redis/settings.js'

/** Longest value a server takes, unless it is configured otherwise. */
const MAX_VALUE_BYTES = 512 * 1024 * 1024

/** Bytes, or the text whose UTF-8 they are, which the client writes faster. */
type Payload = Uint8Array | string

/** What the keys of entries begin with that are nobody's values. */
const OWN_KEYS = [CLOCK_KEY, TAG_KEY_PREFIX, LEASE_KEY_PREFIX, SERVER_KEY_PREFIX]

const NO_MORE: IteratorResult<readonly string[], void> = { done: true, value: undefined }

/**
 * A cache on a Redis server, on a leader with replicas, on a Cluster or behind Sentinels.
 *
 * @remarks One connection per location, opened on first use, over which calls at the same time share
 *   round trips. It does not keep the process alive. Deadlines are kept by the server, to the
 *   millisecond; `add` and `incr` are atomic. Entries are read from a replica where there is one, and
 *   may lag; tags always count at once.
 * @see Django, "Redis"
 */
export class RedisCache extends Cache<Payload> {
  readonly #leader: Link
  readonly #replicas: readonly Link[]
  readonly #sources: readonly ClientSource[]
  readonly #format: PayloadFormat
  readonly #scanner: Scanner
  readonly #server: SameServer
  readonly #confirmation: Confirmation | undefined
  readonly #flushOnClear: boolean
  /** What a client that was given puts in front of every key by itself. */
  readonly #clientPrefix: string
  /** Makes the connection that is told of changes. */
  readonly #listen: (() => ClientSource) | undefined

  /** @throws InvalidCacheBackendError: a setting is missing, unknown or contradicts another. */
  constructor(settings: RedisSettings = {}) {
    super(settings, {
      settings: ['client', 'durableInvalidations', ...FORMAT_SETTINGS],
      server: true,
    })
    this.#format = new PayloadFormat('RedisCache', settings)
    this.#flushOnClear = resolveFlush(settings)
    const target = resolveTarget(settings)
    const { timeLimitMs } = this.settings
    const sourceSettings = {
      owner: 'RedisCache',
      limitMs: timeLimitMs,
      connectionName: () => `fragcache:${this.alias}`,
    }
    this.#sources = commandSources(target, sourceSettings)
    this.#listen = listeningSource(target, sourceSettings)
    this.#clientPrefix = 'client' in target ? (target.client.options.keyPrefix ?? '') : ''
    const [leader, ...replicas] = this.#sources as [ClientSource, ...ClientSource[]]
    const durable = resolveDurable(settings.durableInvalidations, timeLimitMs)
    if (durable !== undefined) {
      const source = separateSource(target, sourceSettings)?.() ?? leader
      const key = () => this.checkedKey(`${SERVER_KEY_PREFIX}.confirmed`, 1)
      this.#confirmation = new Confirmation(durable, source, key)
    }
    // Removes what was stored on another server before anything else is asked of this one.
    const remover = new Scanner(new Link(leader), timeLimitMs)
    this.#server = new SameServer({
      source: leader,
      limitMs: timeLimitMs,
      storedKey: (key) => this.checkedKey(key, 1),
      removeAll: (isSpared) => this.#remove(remover, isSpared),
    })
    this.#leader = new Link(leader, this.#server)
    this.#replicas = replicas.map(
      (source) => new Link(source, new FollowsLeader(this.#server, this.#leader, timeLimitMs)),
    )
    this.#scanner = new Scanner(this.#leader, timeLimitMs)
  }

  /** @internal */
  override lookupOne(
    storedKey: string,
    toWrite = false,
    stale = false,
  ): MaybePromise<Hit | undefined> {
    if (this.#replicas.length > 0) return super.lookupOne(storedKey, toWrite, stale)
    const counters = this.recallTags(storedKey)
    const keys = [storedKey]
    for (const tag of counters) keys.push(this.counterKey(tag))
    return new Promise((resolve, reject) => {
      this.#leader.sendRead(
        keys,
        (values, place) => {
          try {
            resolve(this.toHit(storedKey, values, place, counters, stale))
          } catch (error) {
            reject(error instanceof Error ? error : new Error(String(error)))
          }
        },
        reject,
      )
    })
  }

  protected override async readEntries(
    keys: readonly string[],
  ): Promise<(Uint8Array | undefined)[]> {
    return orUndefined(await this.#leader.read(keys))
  }

  protected override async readCopies(
    keys: readonly string[],
    counterKeys: readonly string[],
  ): Promise<(Uint8Array | undefined)[]> {
    const replica = this.#replicas.length === 0 ? undefined : this.#pickReplica()
    if (replica === undefined) {
      const all = counterKeys.length === 0 ? keys : [...keys, ...counterKeys]
      return orUndefined(await this.#leader.read(all))
    }
    const [entries, counters] = await Promise.all([
      replica.read(keys).catch(() => this.#leader.read(keys)),
      counterKeys.length === 0 ? [] : this.#leader.read(counterKeys),
    ])
    return orUndefined([...entries, ...counters])
  }

  /** One by chance of those of which nothing bad is known; `undefined`: there is none. */
  #pickReplica(): Link | undefined {
    const usable = this.#replicas.filter(({ isLost }) => !isLost)
    return usable[Math.floor(Math.random() * usable.length)]
  }

  protected override writeEntries(
    entries: readonly WriteEntry<Payload>[],
  ): Promise<readonly WriteOutcome[]> {
    const [only] = entries
    if (only !== undefined && entries.length === 1) {
      return new Promise((resolve, reject) => {
        this.#write(only, (outcome) => resolve([outcome]), reject)
      })
    }
    return this.#writeMany(entries)
  }

  async #writeMany(entries: readonly WriteEntry<Payload>[]): Promise<readonly WriteOutcome[]> {
    const failures: unknown[] = []
    const outcomes = await Promise.all(
      entries.map(
        (entry) =>
          new Promise<WriteOutcome>((resolve) => {
            this.#write(entry, resolve, (error) => {
              failures.push(error)
              resolve('failed')
            })
          }),
      ),
    )
    if (failures.length > 0 && failures.length === entries.length) throw failures[0]
    return outcomes
  }

  #write(
    { key, payload, expiresAtMs, ifAbsent = false, replacing }: WriteEntry<Payload>,
    resolve: (outcome: WriteOutcome) => void,
    reject: (error: unknown) => void,
  ): void {
    if (payload.length > MAX_VALUE_BYTES) {
      resolve('too_large')
      return
    }
    const ttlMs = expiresAtMs === null ? 0 : Math.max(1, expiresAtMs - Date.now())
    if (replacing !== undefined) {
      const args = [replacing, payload, ifAbsent ? 1 : 0, ttlMs]
      run(this.#leader, REPLACE, key, args).then(
        (reply) => resolve(Number(reply) === 1 ? 'stored' : 'refused'),
        reject,
      )
      return
    }
    const args: Argument[] = ttlMs === 0 ? [key, payload] : [key, payload, 'PX', ttlMs]
    if (ifAbsent) {
      args.push('NX')
      const done = (reply: Reply) => resolve(reply === null ? 'refused' : 'stored')
      this.#leader.sendCommand('set', args, done, reject)
      return
    }
    this.#leader.sendCommand(
      'set',
      args,
      () => resolve('stored'),
      (error) => {
        if (!isReply(error)) {
          reject(error)
          return
        }
        // As when the server's memory is full. Nothing outdated may be served instead.
        const refuse = () => reject(error)
        this.#leader.sendCommand('unlink', [key], refuse, refuse)
      },
    )
  }

  protected override async removeEntries(keys: readonly string[]): Promise<boolean[]> {
    const removed = await Promise.all(keys.map((key) => this.#leader.command('unlink', key)))
    await this.#confirmation?.wait('delete')
    return removed.map((count) => Number(count) === 1)
  }

  protected override async touchEntry(key: string, expiresAtMs: Deadline): Promise<boolean> {
    if (expiresAtMs === null) {
      const [, isThere] = await Promise.all([
        this.#leader.command('persist', key),
        this.#leader.command('exists', key),
      ])
      return Number(isThere) === 1
    }
    const ttlMs = Math.max(1, expiresAtMs - Date.now())
    return Number(await this.#leader.command('pexpire', key, ttlMs)) === 1
  }

  protected override async incrementEntry(
    key: string,
    delta: number,
  ): Promise<number | null | undefined> {
    const reply = await run(this.#leader, INCREMENT, key, [delta])
    if (reply === null) return undefined
    const text = String(reply)
    if (text === 'x') return null
    // Says what is wrong, since the sum is out of range.
    if (text.startsWith('o')) return addIntegers(Number(text.slice(1)), delta)
    return Number(text)
  }

  protected override async readDeadline(key: string): Promise<Deadline | undefined> {
    const ms = Number(await this.#leader.command('pttl', key))
    if (ms === -2) return undefined
    return ms === -1 ? null : Date.now() + ms
  }

  protected override async removeAll(): Promise<void> {
    await this.#remove(this.#scanner, (storedKey) => this.#server.isOwn(storedKey))
    await this.#confirmation?.wait('clear')
  }

  /** @internal */
  override bumpTags(tags: readonly string[], soft = false, isAgain = false): MaybePromise<void> {
    const bumped = super.bumpTags(tags, soft, isAgain)
    const confirmation = this.#confirmation
    if (confirmation === undefined || tags.length === 0) return bumped
    return chain(bumped, () => confirmation.wait('invalidateTags'))
  }

  /** @internal */
  override confirmInvalidation(operation: string): MaybePromise<void> {
    return this.#confirmation?.wait(operation)
  }

  async #remove(scanner: Scanner, isSpared: (storedKey: string) => boolean): Promise<void> {
    if (this.#flushOnClear) return scanner.flush()
    const { keyFunction, keyPrefix, version } = this.settings
    const space = keySpaceOf(keyFunction, keyPrefix, version)
    if (space === undefined) {
      throw new CacheBackendError(
        'RedisCache: clear failed: keyFunction makes keys that cannot be told from those of another key prefix; let it put key and key prefix into them as they are',
        { backend: 'RedisCache', operation: 'clear' },
      )
    }
    await scanner.remove(space.pattern, (key) => space.owns(key) && !isSpared(key))
  }

  protected override readServerStats(): Promise<ServerFigures> {
    const [leader = '', ...replicas] = this.#sources.map(({ name }) => name)
    return readFigures(
      { name: leader, link: this.#leader },
      this.#replicas.map((link, i) => ({ name: replicas[i] ?? '', link })),
      this.settings.timeLimitMs,
    )
  }

  /** @internal */
  override get readsMayLag(): boolean {
    return this.#replicas.length > 0
  }

  protected override async disconnect(): Promise<void> {
    for (const link of [this.#leader, ...this.#replicas]) link.flush()
    await Promise.all(this.#sources.map((source) => source.close()))
    await this.#confirmation?.close()
  }

  /** A Cluster tells only of each node's own keys, whose nodes change. @internal */
  override get tellsOfChanges(): boolean {
    return this.#listen !== undefined
  }

  /** @internal */
  override watchChanges(listener: ChangeListener): () => MaybePromise<void> {
    if (this.#listen === undefined) return super.watchChanges(listener)
    const { keyFunction, keyPrefix } = this.settings
    const ofClient = this.#clientPrefix
    const prefix = ofClient + (keyFunction === defaultKeyFunction ? `${keyPrefix}:` : '')
    const changed = (keys: readonly string[]) => {
      listener.changed(keys.map((key) => key.slice(ofClient.length)))
    }
    return watchKeys(this.#listen(), prefix, ofClient === '' ? listener : { ...listener, changed })
  }

  /** An answer of a server that works, such as that it will not take the value, is no outage. */
  protected override isOutage(error: unknown): boolean {
    if (!isReply(error)) return super.isOutage(error)
    return /^(?:LOADING|CLUSTERDOWN|MASTERDOWN|BUSY|NOAUTH|WRONGPASS)\b/.test(error.message)
  }

  protected override packValue(value: unknown, tags: TagVersions | undefined): Payload {
    return this.#format.packText(value, tags) ?? this.#format.pack(value, tags)
  }

  protected override unpackPayload(payload: Payload): Unpacked {
    return this.#format.unpack(typeof payload === 'string' ? Buffer.from(payload) : payload)
  }

  /**
   * How much longer an entry lives.
   *
   * @returns Seconds, to the millisecond; `null` if it never expires; `undefined` if it is not there.
   */
  async ttl(key: string, options: KeyOptions = {}): Promise<number | null | undefined> {
    const storedKey = this.checkedKey(key, options.version)
    const read = async () => {
      const [hit, expiresAtMs] = await Promise.all([
        this.lookupOne(storedKey, true),
        this.readDeadline(storedKey),
      ])
      if (hit === undefined || expiresAtMs === undefined) return undefined
      // It may be kept for longer than it is fresh.
      const endMs = Math.min(expiresAtMs ?? Infinity, hit.stamp?.freshUntilMs ?? Infinity)
      return endMs === Infinity ? null : Math.max(0, endMs - Date.now()) / 1000
    }
    return this.callStore('ttl', [key], read, undefined)
  }

  /**
   * Goes through the keys of one version, as callers pass them.
   *
   * @param pattern - In the server's own notation: `*`, `?`, `[a-z]`, `\` before what is meant as it
   *   is. Default: all.
   * @remarks Not a snapshot: a key may be given twice, and one that is stored meanwhile, or that was
   *   invalidated by a tag, may or may not be. The server looks at every key it has, in steps between
   *   which it does other work.
   */
  async *iterateKeys(
    pattern = '*',
    { version = this.settings.version }: KeyOptions = {},
  ): AsyncGenerator<string, void, void> {
    if (typeof pattern !== 'string') throw new TypeError('pattern: give a text such as "user:*"')
    checkVersion(version)
    const { keyFunction, keyPrefix } = this.settings
    const around = surroundings(keyFunction, keyPrefix, version)
    if (around === undefined) {
      throw new TypeError('iterateKeys: keyFunction hides the keys; they cannot be read back')
    }
    const [before, after] = around
    const steps = this.#scanner.scan(escapeGlob(before) + pattern + escapeGlob(after))
    for (;;) {
      const step = await this.callStore('iterateKeys', [], () => steps.next(), NO_MORE)
      if (step.done === true) return
      for (const storedKey of step.value) {
        const key = storedKey.slice(before.length, storedKey.length - after.length)
        if (!OWN_KEYS.some((prefix) => key.startsWith(prefix))) yield key
      }
    }
  }
}

function orUndefined(values: readonly (Buffer | null)[]): (Buffer | undefined)[] {
  return values.map((value) => value ?? undefined)
}

/** What a server said, as opposed to what became of the connection. */
function isReply(error: unknown): error is Error {
  return error instanceof Error && error.name === 'ReplyError'
}
