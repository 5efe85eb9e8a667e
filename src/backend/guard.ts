import { messageOfError } from '../error-text.js'
import { CacheBackendError, FragcacheError, MisuseError } from '../errors.js'
import { isPromise, type MaybePromise } from '../maybe-promise.js'
import { OutageReporter, RefusalReporter, type LastingOutage } from '../observe/channels.js'
import { IntegerOverflowError } from '../serializer.js'
import type { Counts } from '../observe/counts.js'
import { LateError, TimeLimit } from '../time-limit.js'
import { Circuit } from './circuit.js'

/** What a guard has to know of the cache whose calls it guards. */
export interface Guarded {
  readonly alias: string
  readonly backendName: string
  readonly counts: Counts
  readonly store: {
    /** Whether copies may answer where the store that they are of does not. */
    readonly readsMayLag: boolean
    /** See `OwnStore.readsPassWrites`. */
    readonly readsPassWrites: boolean
    /** See `OwnStore.starting`. */
    readonly starting: Promise<void> | undefined
    /** See `CompleteStore.onStored`. */
    onStored: (() => void) | undefined
    isOutage(error: unknown): boolean
  }
  /** Reads anything, to see whether the store answers, or writes something that nobody reads. */
  probe(isWrite: boolean): MaybePromise<unknown>
  /** Whether a failure is one that was reported where it happened. */
  isReported?(error: unknown): boolean
}

const refusals = new WeakSet<object>()

/** Whether a call failed although the store answers: it does not do what it is asked, mostly since it is full. */
export function wasAnswered(failure: object): boolean {
  return refusals.has(failure)
}

const ignore = (): void => undefined

/** Operations that read: a store with copies may answer them from one. */
const READS = new Set(['get', 'getMany', 'has', 'getOrSet', 'serverStats'])

/**
 * Operations that do not depend on what is stored. The others wait until the store has got what it is owed.
 */
const BLIND = new Set([
  'set',
  'setMany',
  'delete',
  'deleteMany',
  'unlink',
  'clear',
  'invalidate',
  'invalidateTags',
  'lock',
  'unlock',
  'serverStats',
])

/** Probes by writing at the same time: what waits for a lock holds a connection, which reads may need. */
const MOST_WRITE_PROBES = 1

/** Failures to pay a debt: they were reported where it was to be paid. */
const unpaid = new WeakSet<object>()

/** What the store has to be told before anything is read from it. */
export interface Debt {
  /** @throws It could not be told. */
  settle(): Promise<void>
}

/**
 * Runs the calls to a store: failures become `CacheBackendError`s and are reported once per outage. Where
 * the store is a server, a call has its time limit, and fails at once while the server is known to be down.
 *
 * A database that answers reads may still let writes wait, for as long as a table is locked, a backup is made or a
 * disk is full. Then only writes fail at once, and what is stored is still read.
 */
export class Guard {
  readonly #of: Guarded
  readonly #outages = new OutageReporter()
  readonly #refusals = new RefusalReporter()
  /** Only where the store is a server, which can be down or hang. While it is open, writes fail too. */
  readonly #circuit: Circuit | undefined
  /** The same for writes: where reads do not wait for them, a circuit of its own. */
  readonly #writes: Circuit | undefined
  /** Whether it may answer reads while it takes no writes. */
  readonly #readsPassWrites: boolean
  readonly #timeLimit: TimeLimit | undefined
  readonly #debts = new Set<Debt>()
  #failures = 0
  #recoveries = 0
  /** How many calls of each operation were answered: a store may go on with reads and removals where it takes no writes. */
  readonly #answers = new Map<string, number>()
  #isClosed = false

  /** @param timeLimitMs - `undefined`: the store is no server. */
  constructor(of: Guarded, timeLimitMs: number | undefined) {
    this.#of = of
    this.#readsPassWrites = timeLimitMs === undefined || of.store.readsPassWrites
    if (timeLimitMs === undefined) return
    this.#timeLimit = new TimeLimit(timeLimitMs)
    this.#circuit = new Circuit(
      () => this.#probe(of.probe(false)),
      () => this.#answered(),
    )
    const taken = () => {
      of.store.onStored = undefined
      this.#reportSuccess()
    }
    this.#writes = this.#readsPassWrites
      ? new Circuit(() => this.#probe(of.probe(true)), taken, MOST_WRITE_PROBES)
      : this.#circuit
  }

  /** Runs a call. @throws CacheBackendError: the store failed. */
  run<T>(operation: string, action: () => MaybePromise<T>): MaybePromise<T> {
    this.#isClosed = false
    const isRead = READS.has(operation)
    // Copies may still answer where the store they are of does not, and say nothing of it.
    const isOfCopies = this.#of.store.readsMayLag && isRead
    const open = isOfCopies ? undefined : this.#openCircuit(isRead)
    if (open !== undefined) {
      this.#of.counts.errors++
      this.#outages.lasts(this.#of.alias, this.#of.backendName)
      throw this.#notAsked(operation, open.lastError)
    }
    const failuresBefore = this.#failures
    const recoveriesBefore = this.#recoveries
    const answersBefore = this.#answersTo(operation)
    const succeeded = (value: T) => {
      this.#answers.set(operation, this.#answersTo(operation) + 1)
      // What was asked before the last failure says nothing of the time since.
      if (this.#failures === failuresBefore && !isOfCopies) {
        this.#circuit?.succeeded()
        this.#answered()
      }
      return value
    }
    // Nor does the failure of what was asked in an outage that is over begin another one. And what waits too long
    // while the same is answered to others waits behind them: this process asks for much at once, or is very busy.
    const failed = (error: unknown) =>
      this.toFailure(operation, error, {
        isLeftOver: recoveriesBefore !== this.#recoveries,
        isAnswering: error instanceof LateError && this.#answersTo(operation) > answersBefore,
      })
    let result: MaybePromise<T>
    try {
      result = this.#debts.size > 0 && !BLIND.has(operation) ? this.#pay(action) : action()
    } catch (error) {
      throw failed(error)
    }
    if (!isPromise(result)) return succeeded(result)
    // To go through a large store takes its time; each of its round trips is limited.
    const limit = operation === 'clear' ? undefined : this.#timeLimit
    if (limit !== undefined) {
      const race = () => limit.race(result, succeeded, failed)
      const { starting } = this.#of.store
      return starting === undefined
        ? race()
        : Promise.race([starting, result.then(ignore, ignore)]).then(race)
    }
    return Promise.resolve(result).then(succeeded, (error: unknown) => {
      throw failed(error)
    })
  }

  #answersTo(operation: string): number {
    return this.#answers.get(operation) ?? 0
  }

  /** What keeps a call from being made. */
  #openCircuit(isRead: boolean): Circuit | undefined {
    if (this.#circuit?.isOpen === true) return this.#circuit
    return !isRead && this.#writes?.isOpen === true ? this.#writes : undefined
  }

  /**
   * What only the store itself can say fails at once while it is down, also where copies answer.
   *
   * @throws CacheBackendError: it is down.
   */
  requireStore(): void {
    if (this.#circuit?.isOpen === true) throw this.#notAsked('get', this.#circuit.lastError)
  }

  /** Whether what it holds must not be taken as it is: the last call failed, or it has to be told something first. */
  get isFailing(): boolean {
    return this.outage !== undefined || this.#debts.size > 0
  }

  /** The outage that lasts. */
  get outage(): LastingOutage | undefined {
    return this.#outages.lasting
  }

  /** Whether a call that succeeds has nothing to wait for, to report or to open again. */
  get isQuiet(): boolean {
    return this.#circuit === undefined && !this.#isClosed && !this.isFailing
  }

  /** Whether the store is closed, or known to be down: who has time does not ask it, and so does not open it again. */
  get isOutOfReach(): boolean {
    return this.#isClosed || this.#openCircuit(false) !== undefined
  }

  /** Nothing is read from the store until it was told. */
  owe(debt: Debt): void {
    this.#debts.add(debt)
  }

  settled(debt: Debt): void {
    this.#debts.delete(debt)
  }

  async #pay<T>(action: () => MaybePromise<T>): Promise<T> {
    try {
      for (const debt of this.#debts) await debt.settle()
    } catch (error) {
      if (error instanceof CacheBackendError) unpaid.add(error)
      throw error
    }
    return action()
  }

  /** Reports that the store does not take a value, where the caller is not told. */
  reportRefusal(error: CacheBackendError): void {
    this.#refusals.add(this.#of.alias, this.#of.backendName, error)
  }

  /** Reports a failure that is going to count as a miss. @throws What is no failure of the store. */
  reportFailure(operation: string, error: unknown): void {
    const failure = this.toFailure(operation, error)
    if (!(failure instanceof CacheBackendError)) throw failure
  }

  /**
   * What a failed call rejects with; reports the outage.
   *
   * @param about - `isLeftOver`: the call began in an outage that is over, and says nothing of the time since.
   *   `isAnswering`: the same was answered to others meanwhile.
   */
  toFailure(
    operation: string,
    error: unknown,
    { isLeftOver = false, isAnswering = false } = {},
  ): Error {
    if (isMisuse(error)) return error
    const { alias, backendName: backend, counts, store } = this.#of
    counts.errors++
    const isReported = (one: Error) => unpaid.has(one) || this.#of.isReported?.(one) === true
    if (error instanceof CacheBackendError && isReported(error)) return error
    const failure =
      error instanceof CacheBackendError
        ? error
        : new CacheBackendError(`${backend}: ${operation} failed: ${messageOfError(error)}`, {
            cause: error,
            backend,
            operation,
          })
    if (isAnswering || (this.#circuit !== undefined && !store.isOutage(error))) {
      this.#refusals.add(alias, backend, failure)
      refusals.add(failure)
      return failure
    }
    if (isLeftOver) return failure
    this.#failures++
    const isRead = READS.has(operation)
    if (this.#readsPassWrites && !isRead) this.#lastUntilStored()
    this.#outages.failed(alias, backend, failure)
    if (!this.#isClosed) (isRead ? this.#circuit : this.#writes)?.failed(error)
    return failure
  }

  /**
   * A disk that is full or read-only goes on answering reads and removals: they do not end the outage that a write
   * began, and neither does what was stored by a write that began before the last failure.
   */
  #lastUntilStored(): void {
    const { store } = this.#of
    // Reads failed before it: that they succeed again tells enough where nothing else would find out.
    const isWhole = this.outage !== undefined && store.onStored === undefined
    if (isWhole && this.#writes === undefined) return
    const onStored = () => {
      if (store.onStored !== onStored) return
      store.onStored = undefined
      this.#writes?.succeeded()
    }
    store.onStored = onStored
    this.#askForWrites()
  }

  /** Reads that are answered do not tell when an outage ends that a write began, however short: a probe does. */
  #askForWrites(): void {
    if (!this.#isClosed) this.#writes?.ask()
  }

  /** Lets the next call find out by itself how the store is; until then nobody asks it. */
  forgetOutage(): void {
    this.#isClosed = true
    this.#circuit?.close()
    this.#writes?.close()
  }

  #notAsked(operation: string, cause: unknown): CacheBackendError {
    const { backendName: backend } = this.#of
    return new CacheBackendError(
      `${backend}: ${operation} failed: not asked, since it fails again and again (${messageOfError(cause)})`,
      { cause, backend, operation },
    )
  }

  /** Any answer will do. */
  async #probe(asked: MaybePromise<unknown>): Promise<void> {
    const answer = Promise.resolve(asked)
    await (this.#timeLimit?.race(answer) ?? answer)
  }

  /** A store that is read may still take no writes. It was not asked any more if it was closed meanwhile. */
  #answered(): void {
    if (this.#of.store.onStored === undefined) this.#reportSuccess()
    else this.#askForWrites()
  }

  #reportSuccess(): void {
    if (this.#outages.lasting !== undefined) this.#recoveries++
    this.#outages.succeeded(this.#of.alias, this.#of.backendName)
  }
}

/** Errors that tell of the call, not of the store. */
function isMisuse(error: unknown): error is Error {
  if (error instanceof IntegerOverflowError || error instanceof MisuseError) return true
  return (
    error instanceof FragcacheError &&
    (!(error instanceof CacheBackendError) || error.code === 'FRAGCACHE_VALUE_TOO_LARGE')
  )
}
