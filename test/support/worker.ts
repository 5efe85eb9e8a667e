import { fork, type ChildProcess } from 'node:child_process'
import { writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import type { Bundle } from './bundle.js'

/** A child process that runs a script over the sources. */
export interface Worker {
  readonly child: ChildProcess
  /** The next message it sends; rejects if it ends with an error before. */
  message(): Promise<unknown>
  /** When it has ended. */
  readonly ended: Promise<void>
}

let scripts = 0

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
  const path = join(bundle.folder, `worker-${scripts++}.mjs`)
  await writeFile(
    path,
    `import { FileBasedCache } from './src/backends/file.js'
     import { FileStore } from './src/backends/file/store.js'
     import { Locks } from './src/backends/file/locks.js'
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
  const messages: unknown[] = []
  const waiting: ((message: unknown) => void)[] = []
  child.on('message', (message) => {
    const next = waiting.shift()
    if (next === undefined) messages.push(message)
    else next(message)
  })
  const ended = new Promise<void>((resolve) => child.on('exit', () => resolve()))
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
