import { randomBytes } from 'node:crypto'
import { clearInRounds } from '../../backend/clear-rounds.js'
import type { CacheCore } from '../../backend/core.js'
import type { ChangeListener, OwnStore, WriteEntry, WriteOutcome } from '../../backend/store.js'
import { writeEach } from '../../backend/write-each.js'
import { CacheBackendError } from '../../errors.js'
import { defaultKeyFunction } from '../../keys.js'
import type { MaybePromise } from '../../maybe-promise.js'
import { PayloadFormat } from '../../payload-format.js'
import { addIntegers, type Unpacked } from '../../serializer.js'
import type { ServerFigures } from '../../server-stats.js'
import type { ResolvedSettings } from '../../settings.js'
import type { TagVersions } from '../../tags.js'
import type { Deadline } from '../../timeout.js'
import { watchKeys } from './changes.js'
import { UNCHANGED, type KnownStart } from '../../backend/known-entries.js'
import { currentMs } from '../../current-time.js'
import type { Argument, Reply } from './client.js'
import { ConditionalWrites } from './conditional-writes.js'
import { Confirmation, resolveDurable } from './durable.js'
import { FollowsLeader } from './follows-leader.js'
import { keySpaceOf, type KeySpace } from './key-space.js'
import { Link, type ClientSource } from './link.js'
import { isReplyError } from './reply-error.js'
import { SameServer, SERVER_KEY_PREFIX } from './same-server.js'
import { Scanner } from './scanner.js'
import { INCREMENT, run } from './scripts.js'
import { readFigures } from './server-figures.js'
import { resolveFlush, resolveTarget, type RedisSettings } from './settings.js'
import { commandSources, listeningSource, separateSource } from './sources.js'

/** Longest value a server takes, unless it is configured otherwise. */
const MAX_VALUE_BYTES = 512 * 1024 * 1024

/** Bytes, or the text whose UTF-8 they are, which the client writes faster. */
type Payload = Uint8Array | string

/** The entries of a server, with replicas or without. */
export class RedisPrimitives implements OwnStore<Payload> {
  /** Goes through the keys of the server. */
  readonly scanner: Scanner
  /** Left out where a Cluster tells only of each node's own keys, whose nodes change. */
  readonly watchChanges: ((listener: ChangeListener) => () => MaybePromise<void>) | undefined
  readonly #settings: ResolvedSettings
  readonly #leader: Link
  readonly #conditional: ConditionalWrites
  readonly #replicas: readonly Link[]
  readonly #sources: readonly ClientSource[]
  readonly format: PayloadFormat
  readonly readsMayLag: boolean
  readonly #server: SameServer
  readonly #confirmation: Confirmation | undefined
  readonly #flushOnClear: boolean

  /** @throws InvalidCacheBackendError: a setting is missing, unknown or contradicts another. */
  constructor(settings: RedisSettings, core: CacheCore) {
    this.#settings = core.settings
    this.format = new PayloadFormat('RedisCache', settings, core.types)
    this.#flushOnClear = resolveFlush(settings)
    const target = resolveTarget(settings)
    const { timeLimitMs } = core.settings
    const sourceSettings = {
      owner: 'RedisCache',
      limitMs: timeLimitMs,
      connectionName: () => `fragcache:${core.alias}`,
    }
    this.#sources = commandSources(target, sourceSettings)
    const [leader, ...replicas] = this.#sources as [ClientSource, ...ClientSource[]]
    const durable = resolveDurable(settings.durableInvalidations, timeLimitMs)
    // Removes what was stored on another server before anything else is asked of this one.
    const remover = new Scanner(new Link(leader), timeLimitMs)
    this.#server = new SameServer({
      source: leader,
      limitMs: timeLimitMs,
      storedKey: (key) => core.checkedKey(key, 1),
      removeAll: (isSpared) => this.#remove(remover, isSpared),
    })
    this.#leader = new Link(leader, this.#server)
    if (durable !== undefined) {
      const source = separateSource(target, sourceSettings)?.() ?? leader
      const token = randomBytes(9).toString('hex')
      const key = () => core.checkedKey(`${SERVER_KEY_PREFIX}.confirmed.${token}`, 1)
      this.#confirmation = new Confirmation(durable, source, this.#leader, key)
    }
    this.#conditional = new ConditionalWrites(this.#leader)
    this.#replicas = replicas.map(
      (source) => new Link(source, new FollowsLeader(this.#server, this.#leader, timeLimitMs)),
    )
    this.readsMayLag = replicas.length > 0
    this.scanner = new Scanner(this.#leader, timeLimitMs)
    const listen = listeningSource(target, sourceSettings)
    const clientPrefix = 'client' in target ? (target.client.options.keyPrefix ?? '') : ''
    if (listen !== undefined) this.watchChanges = watcher(listen, core.settings, clientPrefix)
  }

  readAmong<T>(
    keys: readonly string[],
    use: (payloads: readonly (Buffer | null)[], at: number) => MaybePromise<T>,
  ): Promise<T> {
    return new Promise((resolve, reject) => {
      this.#leader.sendRead(
        keys,
        (values, place) => {
          try {
            resolve(use(values, place))
          } catch (error) {
            reject(error instanceof Error ? error : new Error(String(error)))
          }
        },
        reject,
      )
    })
  }

  async readEntries(keys: readonly string[]): Promise<(Uint8Array | undefined)[]> {
    return orUndefined(await this.#leader.read(keys))
  }

  readCopies(
    keys: readonly string[],
    counterKeys: readonly string[],
    known?: (key: string) => KnownStart | undefined,
  ): Promise<(Uint8Array | typeof UNCHANGED | undefined)[]> {
    const large = this.#replicas.length > 0 ? undefined : largeAmong(keys, known)
    return large === undefined
      ? this.#readCopies(keys, counterKeys)
      : this.#readBut(large, keys, counterKeys)
  }

  async #readCopies(
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

  /** Reads only the start of large entries that are known, in the same round trip as the others. */
  async #readBut(
    large: ReadonlyMap<string, KnownStart>,
    keys: readonly string[],
    counterKeys: readonly string[],
  ): Promise<(Uint8Array | typeof UNCHANGED | undefined)[]> {
    const all = counterKeys.length === 0 ? keys : [...keys, ...counterKeys]
    const whole = all.filter((key) => !large.has(key))
    const [read, ...parts] = await Promise.all([
      whole.length === 0 ? [] : this.#leader.read(whole),
      ...Array.from(large, (one) => this.#readIfChanged(one)),
    ])
    let [nextRead, nextPart] = [0, 0]
    return all.map((key) => (large.has(key) ? parts[nextPart++] : (read[nextRead++] ?? undefined)))
  }

  async #readIfChanged([key, { start }]: readonly [string, KnownStart]): Promise<
    Uint8Array | typeof UNCHANGED | undefined
  > {
    const part = await this.#leader
      .command('getrangeBuffer', key, 0, start.length - 1)
      // What fails here, as where something else lies there, fails again or is read below.
      .catch(() => undefined)
    if (part instanceof Uint8Array && start.equals(part)) return UNCHANGED
    return (await this.#leader.read([key]))[0] ?? undefined
  }

  /** One by chance of those of which nothing bad is known; `undefined`: there is none. */
  #pickReplica(): Link | undefined {
    const usable = this.#replicas.filter(({ isLost }) => !isLost)
    return usable[Math.floor(Math.random() * usable.length)]
  }

  writeEntries(entries: readonly WriteEntry<Payload>[]): Promise<readonly WriteOutcome[]> {
    // On a Cluster each goes where its key lives.
    const isAlone = entries.length === 1 || this.isPartitioned
    return writeEach(entries, (...asked) => this.#write(isAlone, ...asked), isReplyError)
  }

  #write(
    isAlone: boolean,
    { key, payload, expiresAtMs, ifAbsent = false, replacing }: WriteEntry<Payload>,
    resolve: (outcome: WriteOutcome) => void,
    reject: (error: unknown) => void,
  ): void {
    if (payload.length > MAX_VALUE_BYTES) {
      resolve('too_large')
      return
    }
    const ttlMs = expiresAtMs === null ? 0 : Math.max(1, expiresAtMs - currentMs())
    const args: Argument[] = ttlMs === 0 ? [key, payload] : [key, payload, 'PX', ttlMs]
    if (replacing !== undefined || (ifAbsent && !isAlone)) {
      const condition = replacing === undefined ? 'absent' : ifAbsent ? 'either' : 'same'
      const write = {
        key,
        condition,
        old: replacing ?? '',
        payload,
        ttlMs,
        resolve,
        reject,
      } as const
      this.#conditional.add(write, !this.isPartitioned)
      return
    }
    if (ifAbsent) {
      // One that is to be new costs least as the command that there is for it.
      const done = (reply: Reply) => resolve(reply === null ? 'refused' : 'stored')
      this.#leader.sendCommand('set', [...args, 'NX'], done, reject)
      return
    }
    this.#leader.sendCommand(
      'set',
      args,
      () => resolve('stored'),
      (error) => {
        if (!isReplyError(error)) {
          reject(error)
          return
        }
        // As when the server's memory is full. Nothing outdated may be served instead.
        const refuse = () => reject(error)
        this.#leader.sendCommand('unlink', [key], refuse, refuse)
      },
    )
  }

  async removeEntries(keys: readonly string[]): Promise<boolean[]> {
    const removed = await Promise.all(keys.map((key) => this.#leader.command('unlink', key)))
    await this.#confirmation?.wait('delete')
    return removed.map((count) => Number(count) === 1)
  }

  async touchEntry(key: string, expiresAtMs: Deadline): Promise<boolean> {
    if (expiresAtMs === null) {
      const [, isThere] = await Promise.all([
        this.#leader.command('persist', key),
        this.#leader.command('exists', key),
      ])
      return Number(isThere) === 1
    }
    const ttlMs = Math.max(1, expiresAtMs - currentMs())
    return Number(await this.#leader.command('pexpire', key, ttlMs)) === 1
  }

  async incrementEntry(key: string, delta: number): Promise<number | null | undefined> {
    const reply = await new Promise<Reply>((resolve, reject) => {
      run(this.#leader, INCREMENT, [key], [delta], resolve, reject)
    })
    if (reply === null) return undefined
    const text = String(reply)
    if (text === 'x') return null
    // Says what is wrong, since the sum is out of range.
    if (text.startsWith('o')) return addIntegers(Number(text.slice(1)), delta)
    return Number(text)
  }

  async readDeadline(key: string): Promise<Deadline | undefined> {
    const ms = Number(await this.#leader.command('pttl', key))
    if (ms === -2) return undefined
    return ms === -1 ? null : currentMs() + ms
  }

  async removeAll(): Promise<void> {
    await clearInRounds(() => this.#remove(this.scanner, (key) => this.#server.isOwn(key)))
    await this.#confirmation?.wait('clear')
  }

  confirmInvalidation(operation: string): MaybePromise<void> {
    return this.#confirmation?.wait(operation)
  }

  async *listKeys(): AsyncGenerator<readonly string[], void, void> {
    const { pattern, owns } = this.#keySpace('list')
    for await (const found of this.scanner.scan(pattern)) {
      yield found.filter((key) => owns(key) && !this.#server.isOwn(key))
    }
  }

  /** @throws CacheBackendError: the keys cannot be told from others'. */
  #keySpace(operation: string): KeySpace {
    const { keyFunction, keyPrefix, version } = this.#settings
    const space = keySpaceOf(keyFunction, keyPrefix, version)
    if (space !== undefined) return space
    throw new CacheBackendError(
      `RedisCache: ${operation} failed: keyFunction makes keys that cannot be told from those of another key prefix; let it put key and key prefix into them as they are`,
      { backend: 'RedisCache', operation },
    )
  }

  /** @returns How many entries were found, as far as that is known. */
  async #remove(scanner: Scanner, isSpared: (storedKey: string) => boolean): Promise<number> {
    if (this.#flushOnClear) {
      await scanner.flush()
      return 0
    }
    const space = this.#keySpace('clear')
    return scanner.remove(space.pattern, (key) => space.owns(key) && !isSpared(key))
  }

  readServerStats(): Promise<ServerFigures> {
    const [leader = '', ...replicas] = this.#sources.map(({ name }) => name)
    return readFigures(
      { name: leader, link: this.#leader },
      this.#replicas.map((link, i) => ({ name: replicas[i] ?? '', link })),
      this.#settings.timeLimitMs,
    )
  }

  get isPartitioned(): boolean {
    // As long as it is not known what the client is, it may be a Cluster's.
    return this.#sources[0]?.current?.isCluster ?? true
  }

  get starting(): Promise<void> | undefined {
    let { starting } = this.#leader
    // Asked with every call.
    for (const replica of this.#replicas) starting ??= replica.starting
    return starting
  }

  async disconnect(): Promise<void> {
    await Promise.all([this.#leader, ...this.#replicas].map((link) => link.close()))
    await this.#confirmation?.close()
  }

  /** An answer of a server that works, such as that it will not take the value, is no outage. */
  isOutage(error: unknown): boolean {
    if (!isReplyError(error)) return !(error instanceof CacheBackendError)
    return /^(?:LOADING|CLUSTERDOWN|MASTERDOWN|BUSY|NOAUTH|WRONGPASS)\b/.test(error.message)
  }

  packValue(value: unknown, tags: TagVersions | undefined): Payload {
    return this.format.packText(value, tags) ?? this.format.pack(value, tags)
  }

  unpackPayload(payload: Payload): Unpacked {
    return this.format.unpack(typeof payload === 'string' ? Buffer.from(payload) : payload)
  }
}

/**
 * @param ofClient - What a client that was given puts in front of every key by itself.
 */
function watcher(
  listen: () => ClientSource,
  { keyFunction, keyPrefix }: ResolvedSettings,
  ofClient: string,
): (listener: ChangeListener) => () => MaybePromise<void> {
  const prefix = ofClient + (keyFunction === defaultKeyFunction ? `${keyPrefix}:` : '')
  return (listener) => {
    const changed = (keys: readonly string[]) => {
      listener.changed(keys.map((key) => key.slice(ofClient.length)))
    }
    return watchKeys(listen(), prefix, ofClient === '' ? listener : { ...listener, changed })
  }
}

/** From so many bytes on an entry is not read again that is known: each command costs something too. */
const LARGE_BYTES = 16 * 1024

function largeAmong(
  keys: readonly string[],
  known: ((key: string) => KnownStart | undefined) | undefined,
): ReadonlyMap<string, KnownStart> | undefined {
  if (known === undefined) return undefined
  let large: Map<string, KnownStart> | undefined
  for (const key of keys) {
    const one = known(key)
    if (one !== undefined && one.length >= LARGE_BYTES) (large ??= new Map()).set(key, one)
  }
  return large
}

function orUndefined(values: readonly (Buffer | null)[]): (Buffer | undefined)[] {
  return values.map((value) => value ?? undefined)
}
