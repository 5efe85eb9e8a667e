import { fork, type ChildProcess } from 'node:child_process'
import { writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import type { Bundle } from './bundle.js'

/** A child process that runs a script over the sources. */
export interface Worker {
  readonly child: ChildProcess
  /** The next message it sends; rejects if it ends with an error before. */
  message(): Promise<unknown>
  /** When the script has ended. */
  readonly ended: Promise<void>
}

let scripts = 0

/** What every script finds. */
const IMPORTS = `
  import { FileBasedCache } from './src/backends/file.js'
  import { FileStore } from './src/backends/file/store.js'
  import { Locks } from './src/backends/file/locks.js'`

async function writeScript(bundle: Bundle, text: string): Promise<string> {
  const path = join(bundle.folder, `worker-${scripts++}.mjs`)
  await writeFile(path, IMPORTS + text)
  return path
}

/**
 * Starts a script as a process of its own. It may use top-level `await`, `process.send`, and
 * `FileBasedCache`, `Locks` and `FileStore`, which are imported for it; it ends by itself once
 * nothing is left to do, or its parent is gone.
 *
 * @param uid - Runs as this user, where the tests' own may choose.
 */
export async function startWorker(
  bundle: Bundle,
  script: string,
  options: { readonly args?: readonly string[]; readonly uid?: number } = {},
): Promise<Worker> {
  const path = await writeScript(
    bundle,
    `
     const args = process.argv.slice(2)
     const orphaned = () => process.exit(1)
     process.on('disconnect', orphaned)
     ${script}
     process.off('disconnect', orphaned)
     process.disconnect?.()`,
  )
  const child = fork(path, options.args ?? [], {
    execArgv: ['--no-warnings'],
    ...(options.uid === undefined ? {} : { uid: options.uid, gid: options.uid }),
  })
  return listenTo(child)
}

/** What a process of {@link Workers} says when a script has ended. */
const DONE = 'the script has ended'

/**
 * Child processes that run one script after the other: to start one, and to load the sources, takes
 * longer than most scripts do. A script leaves nothing behind, neither timers nor listeners.
 */
export class Workers {
  readonly #bundle: Bundle
  readonly #children = new Set<ChildProcess>()
  readonly #idle = new Set<ChildProcess>()

  constructor(bundle: Bundle) {
    this.#bundle = bundle
  }

  /** As `startWorker`, in a process that is free, or else in a new one. */
  async start(script: string, args: readonly string[]): Promise<Worker> {
    const path = await writeScript(
      this.#bundle,
      `
       export default async (args) => {
         ${script}
       }`,
    )
    const [child = await this.#fork()] = this.#idle
    this.#idle.delete(child)
    const worker = listenTo(child, () => this.#idle.add(child))
    child.send({ path, args })
    return worker
  }

  /** Ends the processes, and what still runs in them. */
  async close(): Promise<void> {
    const ends = Array.from(
      this.#children,
      (child) => new Promise((ended) => child.once('exit', ended)),
    )
    for (const child of this.#children) child.kill('SIGKILL')
    await Promise.all(ends)
  }

  async #fork(): Promise<ChildProcess> {
    const path = await writeScript(
      this.#bundle,
      `
       process.on('disconnect', () => process.exit(1))
       process.on('message', async ({ path, args }) => {
         // Others are for the script that runs.
         if (path === undefined) return
         await (await import(path)).default(args)
         process.send('${DONE}')
       })`,
    )
    const child = fork(path, { execArgv: ['--no-warnings'] })
    this.#children.add(child)
    child.once('exit', () => {
      this.#children.delete(child)
      this.#idle.delete(child)
    })
    return child
  }
}

/** @param onDone - Called when the script has ended and its process goes on. */
function listenTo(child: ChildProcess, onDone?: () => void): Worker {
  const messages: unknown[] = []
  const waiting: ((message: unknown) => void)[] = []
  const ended = new Promise<void>((resolve) => {
    const onExit = () => resolve()
    const onMessage = (message: unknown) => {
      if (onDone !== undefined && message === DONE) {
        child.off('message', onMessage)
        child.off('exit', onExit)
        onDone()
        resolve()
        return
      }
      const next = waiting.shift()
      if (next === undefined) messages.push(message)
      else next(message)
    }
    child.on('message', onMessage)
    child.on('exit', onExit)
  })
  const failed = ended.then(() => {
    if (messages.length > 0) return messages.shift()
    throw new Error(`the worker ended with ${child.exitCode ?? child.signalCode}`)
  })
  failed.catch(() => {})
  const message = () =>
    messages.length > 0
      ? Promise.resolve(messages.shift())
      : Promise.race([new Promise<unknown>((resolve) => waiting.push(resolve)), failed])
  return { child, message, ended }
}

/** Runs a script to its end. @returns The one message it sends. */
export async function runWorker(
  ...[bundle, script, options]: Parameters<typeof startWorker>
): Promise<unknown> {
  const worker = await startWorker(bundle, script, options)
  const answer = await worker.message()
  await worker.ended
  return answer
}
