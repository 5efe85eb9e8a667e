import { didYouMean } from '../did-you-mean.js'
import { subscribe, unsubscribe } from 'node:diagnostics_channel'
import { coreOf } from '../backend/core.js'
import type { Cache } from '../cache.js'
import type { Caches } from '../caches.js'
import { operationChannel, type OperationMessage } from '../observe/channels.js'
import { cachesByAlias, loadConfig, type Config } from './config.js'
import { CommandError, UsageError } from './faults.js'
import { toJson, visible, visibleName, type CliOutput } from './terminal.js'

/** What all commands over caches take. */
export interface CommonOptions {
  readonly config?: string | undefined
  readonly json?: boolean | undefined
}

/** One run of a command: its caches, and where its result goes. */
export class Session {
  #before = ''

  constructor(
    readonly command: string,
    readonly config: Config,
    readonly caches: Caches,
    private readonly output: CliOutput,
    readonly isJson: boolean,
  ) {}

  get isTerminal(): boolean {
    return this.output.isTerminal === true
  }

  /** Ends a command that runs until it is interrupted. */
  untilInterrupted(): AbortSignal | undefined {
    return this.output.untilInterrupted?.()
  }

  /** Writes the result: as JSON where that was asked for, else as people read it. */
  result(json: unknown, text: () => string): void {
    this.output.out(this.isJson ? toJson(json) : this.#before + visible(text()))
    this.#before = ''
  }

  /** Says something that is not the result. */
  say(text: string): void {
    this.output.error(`fragcache: ${visible(text)}`)
  }

  /** Lets the next result take the place of what a terminal shows. */
  replaceScreen(): void {
    if (this.isTerminal) this.#before = CLEAR_SCREEN
  }

  /** @throws UsageError: there is no such alias. */
  cache(alias: string): Cache {
    if (this.caches.has(alias)) return this.caches.get(alias)
    throw new UsageError(
      `${this.command}: ${JSON.stringify(alias)} is not an alias; the caches are ${this.caches.aliases.map(visibleName).join(', ')}${didYouMean(alias, this.caches.aliases)}`,
    )
  }

  /**
   * The alias that was given, or the only one there is.
   *
   * @throws UsageError: none was given, and there are several.
   */
  aliasOr(given: string | undefined): string {
    if (given !== undefined) return given
    const [only, ...others] = this.caches.aliases
    if (only !== undefined && others.length === 0) return only
    throw new UsageError(
      `${this.command}: ALIAS is missing; the caches are ${this.caches.aliases.map(visibleName).join(', ')}`,
    )
  }

  /**
   * A cache whose entries can be reached from here.
   *
   * @throws UsageError: there is no such alias. CommandError: it is in another process's memory.
   */
  async reachable(alias: string): Promise<Cache> {
    const cache = this.cache(alias)
    if (await isOfProcess(cache)) {
      throw new CommandError(
        `${this.command}: ${alias} (${coreOf(cache).backendName}) keeps its entries in the memory of the application's own process, which this command cannot reach; use the inspector of the application`,
      )
    }
    return cache
  }

  /**
   * Does something of which a failure is to be told, also where the caches ignore failures.
   *
   * @throws What a call to a store failed with.
   */
  async strictly<T>(action: () => Promise<T>): Promise<T> {
    const failures = new Map<string, unknown>()
    const value = await this.#noting(failures, action)
    for (const error of failures.values()) throw error
    return value
  }

  /**
   * Does something in several caches.
   *
   * @returns What failed, by alias.
   * @throws What is no failure of a store.
   */
  async failuresOf(action: () => Promise<unknown>): Promise<ReadonlyMap<string, unknown>> {
    const failures = new Map<string, unknown>()
    try {
      await this.#noting(failures, action)
    } catch (error) {
      if (failures.size === 0) throw error
    }
    return failures
  }

  /** @param failures - Takes in the first failure of each cache, by alias. */
  async #noting<T>(failures: Map<string, unknown>, action: () => Promise<T>): Promise<T> {
    const note = (message: unknown) => {
      const { alias, error } = message as OperationMessage
      if (error !== undefined && !failures.has(alias)) failures.set(alias, error)
    }
    subscribe(operationChannel.name, note)
    try {
      return await action()
    } finally {
      unsubscribe(operationChannel.name, note)
    }
  }

  /** The aliases whose entries are in other processes' memory. */
  async unreachable(aliases: readonly string[]): Promise<string[]> {
    const answers = await Promise.all(
      aliases.map(async (alias) => ({ alias, isAway: await isOfProcess(this.caches.get(alias)) })),
    )
    return answers.filter(({ isAway }) => isAway).map(({ alias }) => alias)
  }
}

/** Home; clear what is there, and what was scrolled away. */
const CLEAR_SCREEN = '\x1b[H\x1b[2J\x1b[3J'

/** Whether a cache lives in the memory of the process that uses it. */
async function isOfProcess(cache: Cache): Promise<boolean> {
  // Memory answers at once. Of servers, figures cost round trips, or a look through a table or a folder.
  if (!cache.answersAtOnce) return false
  const stats = await coreOf(cache)
    .readOwnServerStats()
    .catch(() => undefined)
  return stats?.scope === 'process'
}

/** Runs a command over the caches of the configuration, and closes them. */
export async function withCaches<T>(
  command: string,
  { config: file, json = false }: CommonOptions,
  output: CliOutput,
  action: (session: Session) => Promise<T>,
): Promise<T> {
  const config = await loadConfig(command, file)
  const caches = cachesByAlias(command, config)
  try {
    return await action(new Session(command, config, caches, output, json))
  } finally {
    // What was done is done, whatever closing says.
    await caches.close().catch(() => undefined)
  }
}
