import { isSameList } from '../../same-list.js'
import { withinLimit } from '../../time-limit.js'
import {
  withoutArguments,
  type Argument,
  type CommandName,
  type IoClient,
  type Reply,
} from './client.js'
import type { Gate } from './gate.js'

/** Most keys of one MGET: the server does nothing else while it answers one. */
const MAX_KEYS = 1000

/** What was asked and is not sent yet: the entries of some keys. */
interface Read {
  readonly keys: readonly string[]
  /** Called with the answers to all of a batch, of which its own start at a place. */
  readonly resolve: (values: readonly (Buffer | null)[], start: number) => void
  readonly reject: (error: unknown) => void
  sinceMs: number
}

/** What goes as one MGET. What several ask alike, such as requests for one page, is asked once. */
class ReadBatch {
  readonly keys: string[] = []
  readonly reads: Read[] = []
  /** Where among the keys those of each read begin. */
  readonly starts: number[] = []
  /** The reads by their first key. */
  readonly #asked = new Map<string | undefined, number>()

  /** Adds a read, if there is room for it. */
  takes(read: Read): boolean {
    const [first] = read.keys
    const same = this.#asked.get(first)
    const isSame = same !== undefined && isSameList(read.keys, (this.reads[same] as Read).keys)
    if (!isSame) {
      if (this.reads.length > 0 && this.keys.length + read.keys.length > MAX_KEYS) return false
      this.#asked.set(first, this.reads.length)
    }
    this.starts.push(isSame ? (this.starts[same] as number) : this.keys.length)
    this.reads.push(read)
    if (!isSame) for (const key of read.keys) this.keys.push(key)
    return true
  }
}

type Arguments = readonly (Argument | readonly Argument[])[]

/** A command that is not sent yet, or was. */
export interface Command {
  readonly name: CommandName
  /** Or what gives them when it is sent. */
  readonly args: Arguments | (() => Arguments)
  readonly resolve: (reply: Reply) => void
  readonly reject: (error: unknown) => void
  /** Since when it waits for a connection; 0: it does not. */
  sinceMs: number
}

/** Gives a client that may be used, connected or not. */
export interface ClientSource {
  /** What the messages of errors call it. */
  readonly name: string
  /** Most milliseconds something waits for a connection. */
  readonly limitMs: number
  /** Most milliseconds the first connection may take. */
  readonly connectLimitMs: number
  /** The client, if there is one. */
  readonly current: IoClient | undefined
  /** Makes the client on first use. */
  open(): Promise<IoClient>
  /** Why there is no connection, if that is known. */
  readonly lastError: unknown
  close(): Promise<void>
}

/**
 * One connection. Everything that is asked in one turn of the event loop goes together: reads as one MGET,
 * everything else as one pipeline. Nothing is ever left in the client's own queue to be sent when a lost
 * connection is back: by then the caller has got a failure.
 */
export class Link {
  readonly #source: ClientSource
  readonly #gate: Gate | undefined
  #reads: Read[] = []
  #commands: Command[] = []
  #isScheduled = false
  #isWaiting = false
  #isNew = true
  #starting: Promise<void> | undefined

  constructor(source: ClientSource, gate?: Gate) {
    this.#source = source
    this.#gate = gate
  }

  /**
   * While the client library is loaded and connects for the first time: settles when that has succeeded or failed.
   * What is asked meanwhile waits, and its time limit begins afterwards.
   */
  get starting(): Promise<void> | undefined {
    return this.#starting
  }

  /** Whether the last that is known of it is a failure. */
  get isLost(): boolean {
    const { current, lastError } = this.#source
    if (current === undefined) return lastError !== undefined
    return !isReady(current) && (lastError !== undefined || !isConnecting(current))
  }

  /** Reads texts and bytes; `null` where there is none, or something else. */
  read(keys: readonly string[]): Promise<readonly (Buffer | null)[]> {
    return new Promise((resolve, reject) => {
      this.sendRead(
        keys,
        (values, start) => {
          const isWhole = start === 0 && values.length === keys.length
          resolve(isWhole ? values : values.slice(start, start + keys.length))
        },
        reject,
      )
    })
  }

  /** As {@link read}, without a promise. */
  sendRead(keys: readonly string[], resolve: Read['resolve'], reject: Read['reject']): void {
    this.#reads.push({ keys, resolve, reject, sinceMs: 0 })
    if (!this.#isScheduled) this.#schedule()
  }

  /** @throws ReplyError: what the server refused. Error: no connection, or it was lost. */
  command(name: CommandName, ...args: Arguments): Promise<Reply> {
    return new Promise((resolve, reject) => {
      this.sendCommand(name, args, resolve, reject)
    })
  }

  /** As {@link command}, without a promise. */
  sendCommand(
    name: CommandName,
    args: Command['args'],
    resolve: Command['resolve'],
    reject: Command['reject'],
  ): Command {
    const command = { name, args, resolve, reject, sinceMs: 0 }
    this.#commands.push(command)
    if (!this.#isScheduled) this.#schedule()
    return command
  }

  /** Whether nothing was asked since a command, and it is about to be sent: what it asks may still become more. */
  isOpen(command: Command): boolean {
    return command.sinceMs === 0 && this.#commands.at(-1) === command
  }

  /** The client, connected. @throws Error: it could not be connected. */
  async ready(): Promise<IoClient> {
    const client = await this.#source.open()
    if (isConnecting(client)) await isReadySoon(client)
    if (isReady(client)) return client
    throw this.#lost()
  }

  /** Sends what is collected, without waiting for the turn to end. */
  flush(): void {
    const reads = this.#reads
    const commands = this.#commands
    if (reads.length === 0 && commands.length === 0) return
    const client = this.#source.current
    if (client === undefined || !isReady(client) || this.#gate?.isOpen(client) === false) {
      this.#wait(client)
      return
    }
    this.#reads = []
    this.#commands = []
    // As one write to the socket, where it is known.
    const { stream } = client
    stream?.cork?.()
    try {
      for (const one of commands) this.#send(client, one)
      if (client.isCluster) for (const one of reads) this.#readOneByOne(client, one)
      else this.#readTogether(client, reads)
    } catch (error) {
      for (const one of [...commands, ...reads]) one.reject(error)
    } finally {
      stream?.uncork?.()
    }
  }

  /** Sends what is collected, then closes the source. What is asked afterwards starts it again. */
  close(): Promise<void> {
    this.flush()
    this.#isNew = true
    return this.#source.close()
  }

  /** Rejects what is still waiting for a connection. */
  rejectWaiting(error: unknown): void {
    for (const one of [...this.#reads.splice(0), ...this.#commands.splice(0)]) one.reject(error)
  }

  #send(client: IoClient, { name, args, resolve, reject }: Command): void {
    client[name](...(typeof args === 'function' ? args() : args)).then(
      (reply) => {
        if (this.#isStill(client)) resolve(reply)
        else reject(new Error(`${this.#source.name} was replaced by another server meanwhile`))
      },
      (error: unknown) => reject(this.#failed(error)),
    )
  }

  #readTogether(client: IoClient, reads: readonly Read[]): void {
    for (let first = 0; first < reads.length;) {
      const batch = new ReadBatch()
      while (first < reads.length && batch.takes(reads[first] as Read)) first++
      this.#readBatch(client, batch)
    }
  }

  #readBatch(client: IoClient, { keys, reads, starts }: ReadBatch): void {
    client.mgetBuffer(keys).then(
      (reply) => {
        if (!this.#isStill(client)) {
          this.#readAgain(reads)
          return
        }
        reads.forEach((read, i) => {
          read.resolve(reply as readonly (Buffer | null)[], starts[i] as number)
        })
      },
      (error: unknown) => {
        const failure = this.#failed(error)
        for (const { reject } of reads) reject(failure)
      },
    )
  }

  /**
   * On a Cluster every key is asked for where it lives, and the client finds its own way when that
   * changes. By MGET, since GET fails where the key holds something else.
   */
  #readOneByOne(client: IoClient, read: Read): void {
    const { keys, resolve, reject } = read
    Promise.all(keys.map((key) => client.mgetBuffer(key))).then(
      (replies) => {
        if (!this.#isStill(client)) {
          this.#readAgain([read])
          return
        }
        resolve(
          replies.map((reply) => (reply as (Buffer | null)[])[0] ?? null),
          0,
        )
      },
      (error: unknown) => reject(this.#failed(error)),
    )
  }

  /** A client may send what it lost with a connection to the server of the next one by itself. */
  #isStill(client: IoClient): boolean {
    return this.#gate === undefined || this.#gate.isStill(client)
  }

  #readAgain(reads: readonly Read[]): void {
    this.#reads.push(...reads)
    if (!this.#isScheduled) this.#schedule()
  }

  #schedule(): void {
    if (this.#isNew) this.#start()
    this.#isScheduled = true
    setImmediate(this.#run)
  }

  #start(): void {
    this.#isNew = false
    const { current, connectLimitMs } = this.#source
    if (current !== undefined && isReady(current)) return
    const done = () => {
      this.#starting = undefined
    }
    // To load the library takes as long as this process is busy, and says nothing of the server.
    const opened = this.#source.open()
    this.#starting = opened.then(() => withinLimit(this.ready(), connectLimitMs)).then(done, done)
  }

  readonly #run = (): void => {
    this.#isScheduled = false
    this.flush()
  }

  /** Keeps what was asked until there is a connection, unless it is known that there is none. */
  #wait(client: IoClient | undefined): void {
    if (client !== undefined && !isConnecting(client) && !isReady(client)) {
      this.rejectWaiting(this.#lost())
      return
    }
    if (this.#starting === undefined) this.#dropLate()
    if (this.#isWaiting) return
    this.#isWaiting = true
    this.#becomesOpen().then(
      (isOpen) => {
        this.#isWaiting = false
        if (!isOpen) this.rejectWaiting(this.#lost())
        this.#dropLate()
        this.flush()
      },
      (error: unknown) => {
        this.#isWaiting = false
        this.rejectWaiting(this.#failed(error))
      },
    )
  }

  async #becomesOpen(): Promise<boolean> {
    const client = await this.#source.open()
    if (!(await isReadySoon(client))) return false
    if (this.#gate !== undefined && !this.#gate.isOpen(client)) await this.#gate.open(client)
    return true
  }

  /** What waited longer than anybody waits for it must not be done any more. */
  #dropLate(): void {
    const nowMs = performance.now()
    const isInTime = (one: Read | Command) => {
      // The clock is only asked for what has to wait.
      if (one.sinceMs === 0) one.sinceMs = nowMs
      if (nowMs - one.sinceMs < this.#source.limitMs) return true
      one.reject(this.#lost())
      return false
    }
    this.#reads = this.#reads.filter(isInTime)
    this.#commands = this.#commands.filter(isInTime)
  }

  #lost(): Error {
    const { name, lastError } = this.#source
    return new Error(
      `no connection to ${name}${lastError instanceof Error ? ` (${lastError.message})` : ''}`,
      lastError === undefined ? undefined : { cause: lastError },
    )
  }

  /** What a failed command rejects with. */
  readonly #failed = (error: unknown): unknown => {
    if (!(error instanceof Error)) return error
    withoutArguments(error)
    // Says only that nothing was tried again; why is what the connection was lost with.
    return error.name === 'MaxRetriesPerRequestError' ? this.#lost() : error
  }
}

/** A client whose socket has ended, which it has not been told yet, would keep commands for later. */
function isReady({ status, stream }: IoClient): boolean {
  return status === 'ready' && stream?.writable !== false
}

function isConnecting({ status }: IoClient): boolean {
  return status === 'wait' || status === 'connecting' || status === 'connect'
}

/** The attempts to connect that somebody waits for: however many share a client, it is listened to once. */
const attempts = new WeakMap<IoClient, Promise<boolean>>()

/** Waits for an attempt to connect, and says whether it succeeded. */
function isReadySoon(client: IoClient): Promise<boolean> {
  if (isReady(client)) return Promise.resolve(true)
  const running = attempts.get(client)
  if (running !== undefined) return running
  const attempt = new Promise<boolean>((resolve) => {
    const settle = (isReady: boolean) => {
      client.off('ready', succeeded)
      client.off('close', failed)
      client.off('end', failed)
      resolve(isReady)
    }
    const succeeded = () => settle(true)
    const failed = () => settle(false)
    client.on('ready', succeeded)
    client.on('close', failed)
    client.on('end', failed)
    // Says by its events what became of it.
    if (client.status === 'wait') client.connect().catch(() => undefined)
  })
  attempts.set(client, attempt)
  void attempt.then(() => attempts.delete(client))
  return attempt
}
