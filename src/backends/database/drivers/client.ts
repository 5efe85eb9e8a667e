import {
  asError,
  MOST_CONFLICTS,
  toAnswer,
  type Answer,
  type Dialect,
  type Driver,
  type DriverContext,
  type Parameter,
  type Statement,
} from '../driver.js'
import { isAnswer, isConflict, isReadOnly, isUnprepared } from '../failures.js'
import { failureOf } from './failure.js'
import { HangingConnections } from './hanging.js'
import { Lender, type ConnectionUse, type Release } from './lease.js'
import { quietly, type Listening } from './listening.js'
import { Renewals } from './renewals.js'

export type Done = (error: unknown, result: unknown) => void

/** Runs a statement on a connection. */
type Ask<Connection> = (
  connection: Connection,
  statement: Statement,
  parameters: readonly Parameter[],
  limitMs: number | undefined,
  done: Done,
) => void

/** How a client library lends the connections of a pool. */
export interface Lending<Connection> {
  /** @returns Whether it may open one for that. */
  borrow(
    lent: (error: unknown, connection: Connection | undefined, release: Release) => void,
  ): boolean
  /** The connections that it is opening. */
  openings(): Iterable<object>
  destroy(opening: object): void
}

/** A connection of a client library, or a pool of them. */
class ClientDriver<Database extends object> {
  readonly answersAtOnce = false
  #unlisten: (() => void) | undefined

  /** @param emitter - Of the errors of connections that nobody uses. */
  constructor(
    readonly dialect: Dialect,
    readonly database: Database,
    protected readonly context: DriverContext,
    private readonly emitter: Listening | undefined,
  ) {}

  open(): void {
    if (this.emitter !== undefined) this.#unlisten ??= quietly(this.emitter)
  }

  close(): void {
    this.#unlisten?.()
    this.#unlisten = undefined
  }
}

/** A call that waits for a connection. */
interface Waiting<Connection> {
  readonly lease: ConnectionUse
  readonly use: (connection: Connection) => void
  readonly reject: (error: Error) => void
}

/** A request that the pool has not answered. */
interface Place<Connection> {
  call: Waiting<Connection>
  /** Whether the call that asked was given up, and a later one waits in its place. */
  isTakenOver: boolean
}

/** A pool of connections. */
export class PoolDriver<Connection extends object> extends ClientDriver<object> implements Driver {
  readonly isPool = true
  readonly #lender: Lender
  readonly #hanging: HangingConnections
  readonly #renewals = new Renewals<Connection>()
  readonly #places = new Set<Place<Connection>>()
  /**
   * Places of calls that were given up. The pool keeps them for as long as its connections are in use or hang: later
   * calls take them over, so that it never keeps more than wait at once.
   */
  #left: Place<Connection>[] = []

  constructor(
    dialect: Dialect,
    database: object,
    private readonly lending: Lending<Connection>,
    private readonly ask: Ask<Connection>,
    context: DriverContext,
    emitter?: Listening,
  ) {
    super(dialect, database, context, emitter)
    const { limitMs } = context
    this.#hanging = new HangingConnections(
      limitMs,
      () => lending.openings(),
      (opening) => lending.destroy(opening),
    )
    this.#lender = new Lender(limitMs, () => {
      this.#left = [...this.#places].filter(({ call }) => call.lease.isOver)
      this.#hanging.end()
    })
  }

  run(statement: Statement, parameters: readonly Parameter[], dueMs?: number): Promise<Answer> {
    return this.#lender.lend(statement.isUnlimited ? Infinity : dueMs, (lease, resolve, reject) => {
      const use = (connection: Connection) => {
        const ask = (done: Done) => {
          // An answer may come while what was given up is being ended.
          if (!lease.isOver) this.ask(connection, statement, parameters, undefined, done)
        }
        insist(ask, MOST_CONFLICTS, (failure, result) => {
          const isBroken = Boolean(failure) && !isAnswer(failure)
          if (failure && isReadOnly(failure)) this.#renewals.leaveAll()
          lease.end(isBroken ? 'broken' : 'kept')
          if (failure) reject(failureOf(failure, statement, this.context))
          else resolve(toAnswer(result))
        })
      }
      const call = { lease, use, reject }
      const left = this.#takeLeft()
      if (left === undefined) this.#borrow(call)
      else Object.assign(left, { call, isTakenOver: true })
    })
  }

  #takeLeft(): Place<Connection> | undefined {
    for (let place = this.#left.shift(); place !== undefined; place = this.#left.shift()) {
      if (this.#places.has(place)) return place
    }
    return undefined
  }

  #borrow(call: Waiting<Connection>): void {
    const place = { call, isTakenOver: false }
    const fail = (error: unknown) => {
      place.call.lease.end('broken')
      place.call.reject(asError(error))
    }
    this.#places.add(place)
    try {
      const mayOpen = this.lending.borrow((error, connection, release) => {
        this.#places.delete(place)
        if (connection !== undefined) this.#lend(place.call, connection, release)
        else if (!place.isTakenOver) fail(error)
        // What went wrong was another call's, whose time was over.
        else if (!place.call.lease.isOver) this.#borrow(place.call)
      })
      if (mayOpen) this.#hanging.note()
    } catch (error) {
      this.#places.delete(place)
      fail(error)
    }
  }

  #lend(call: Waiting<Connection>, connection: Connection, release: Release): void {
    if (!call.lease.isOver && this.#renewals.isLeft(connection)) {
      release('broken')
      this.#borrow(call)
    } else if (call.lease.take(release)) call.use(connection)
  }
}

/**
 * One connection. Nothing is repeated: a conflict ends the whole transaction, and that may be the
 * application's.
 */
export class ConnectionDriver<Connection extends object>
  extends ClientDriver<Connection>
  implements Driver
{
  readonly isPool = false

  constructor(
    dialect: Dialect,
    database: Connection,
    private readonly ask: Ask<Connection>,
    context: DriverContext,
    emitter?: Listening,
  ) {
    super(dialect, database, context, emitter)
  }

  run(statement: Statement, parameters: readonly Parameter[]): Promise<Answer> {
    const limitMs = statement.isUnlimited ? undefined : this.context.limitMs
    return new Promise((resolve, reject) => {
      this.ask(this.database, statement, parameters, limitMs, (failure, result) => {
        if (failure) reject(failureOf(failure, statement, this.context))
        else resolve(toAnswer(result))
      })
    })
  }
}

/** @param attempts - How often it is asked where the server has not done it, but would do it the next time. */
function insist(ask: (done: Done) => void, attempts: number, done: Done): void {
  ask((failure, result) => {
    if (failure && attempts > 1 && (isConflict(failure) || isUnprepared(failure)))
      insist(ask, attempts - 1, done)
    else done(failure, result)
  })
}
