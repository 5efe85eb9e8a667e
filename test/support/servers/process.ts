import { spawn, type ChildProcess } from 'node:child_process'
import { randomInt } from 'node:crypto'
import { readdirSync, readFileSync } from 'node:fs'
import { connect, createServer } from 'node:net'
import { setTimeout as sleep } from 'node:timers/promises'
import { inPath } from '../executables.js'

/** How to run a server of a test's own. */
export interface ServerOptions {
  readonly command: string
  readonly args: readonly string[]
  readonly env?: NodeJS.ProcessEnv
  /** Where it listens: a port of 127.0.0.1, or the path of a socket. */
  readonly listensAt: number | string
  /** Resolves once it serves; called again and again until it does. Default: it takes connections. */
  readonly ready?: () => Promise<unknown>
  /** The user it runs as, where the tests run as root. */
  readonly user?: string
}

/** A server process that a test started. */
export interface TestServer {
  readonly pid: number
  /** Stops it in its tracks (SIGSTOP): connections stay, nothing answers. */
  pause(): void
  resume(): void
  /** Ends it as a crash would (SIGKILL). */
  kill(): Promise<void>
  /** Starts it once more in the same place, after it ended. */
  restart(): Promise<void>
  /** Ends it in order, whatever state it is in. */
  stop(): Promise<void>
}

const START_LIMIT_MS = 30_000

// A node of a Redis Cluster listens 10,000 ports further up too. Both stay below the ports that systems
// give to outgoing connections, which could take one before its server begins, and no server's port is
// another one's second.
const FIRST_PORT = 12_000
const LAST_PORT = 22_000

/** A port of 127.0.0.1 that nobody listens on. */
export async function freePort(): Promise<number> {
  for (;;) {
    const port = randomInt(FIRST_PORT, LAST_PORT)
    if (await canListenAt(port)) return port
  }
}

async function canListenAt(port: number): Promise<boolean> {
  const server = createServer()
  try {
    await new Promise<void>((listening, failed) => {
      server.once('error', failed)
      server.listen(port, '127.0.0.1', listening)
    })
  } catch {
    return false
  }
  await new Promise((closed) => server.close(closed))
  return true
}

/** The same command, ended by the kernel when this process is gone, where the system can do that. */
function tied({ command, args, user }: ServerOptions): [string, string[]] {
  const asRoot = process.getuid?.() === 0
  const setpriv = inPath('setpriv')
  if (setpriv === undefined) {
    if (user !== undefined && asRoot) throw new Error(`setpriv is needed to run as ${user}`)
    return [command, [...args]]
  }
  const owner =
    user === undefined || !asRoot
      ? []
      : ['--reuid', user, '--regid', user, '--clear-groups', '--no-new-privs']
  return [setpriv, [...owner, '--pdeathsig', 'KILL', command, ...args]]
}

function takesConnections(listensAt: number | string): Promise<void> {
  return new Promise((resolve, reject) => {
    const options =
      typeof listensAt === 'number' ? { port: listensAt, host: '127.0.0.1' } : { path: listensAt }
    const socket = connect(options, () => {
      socket.destroy()
      resolve()
    })
    socket.once('error', reject)
  })
}

/**
 * Starts a server and waits until it serves. It ends with this process, whatever happens.
 *
 * @throws Error: it ended or did not serve in time; with what it said.
 */
export async function startServer(options: ServerOptions): Promise<TestServer> {
  let child = await run(options)
  const ended = () => child.exitCode !== null || child.signalCode !== null
  const end = async (signal: NodeJS.Signals) => {
    if (ended()) return
    const exited = new Promise((resolve) => child.once('exit', resolve))
    child.kill(signal)
    child.kill('SIGCONT')
    const late = setTimeout(() => child.kill('SIGKILL'), 5000)
    await exited
    clearTimeout(late)
  }
  return {
    get pid() {
      return child.pid ?? 0
    },
    pause: () => {
      child.kill('SIGSTOP')
      waitUntilStopped(child.pid ?? 0)
    },
    resume: () => void child.kill('SIGCONT'),
    kill: () => end('SIGKILL'),
    restart: async () => {
      await end('SIGKILL')
      child = await run(options)
    },
    stop: () => end('SIGTERM'),
  }
}

/** The signal takes effect a little later: until then a thread may still answer. Linux alone tells. */
function waitUntilStopped(pid: number): void {
  const untilMs = Date.now() + 1000
  const isStopped = () =>
    readdirSync(`/proc/${pid}/task`).every((thread) =>
      readFileSync(`/proc/${pid}/task/${thread}/stat`, 'latin1').includes(') T '),
    )
  try {
    while (!isStopped() && Date.now() < untilMs);
  } catch {
    // No /proc, or no such process any more.
  }
}

async function run(options: ServerOptions): Promise<ChildProcess> {
  const { listensAt, ready = () => takesConnections(listensAt) } = options
  const [command, args] = tied(options)
  const child = spawn(command, args, {
    stdio: ['ignore', 'pipe', 'pipe'],
    env: { ...process.env, ...options.env },
  })
  const end = () => void child.kill('SIGKILL')
  process.once('exit', end)
  child.once('exit', () => process.off('exit', end))
  let said = ''
  for (const stream of [child.stdout, child.stderr]) {
    stream.on('data', (text: Buffer) => (said = (said + String(text)).slice(-4000)))
    // Neither the server nor its words keep a test process from ending.
    ;(stream as typeof stream & { unref?: () => void }).unref?.()
  }
  let failure: Error | undefined
  child.once('error', (error) => (failure = error))
  child.unref()
  const untilMs = Date.now() + START_LIMIT_MS
  for (;;) {
    if (failure !== undefined) throw failure
    if (child.exitCode !== null || child.signalCode !== null) {
      throw new Error(`${options.command} ended at once: ${said}`)
    }
    try {
      await ready()
      return child
    } catch (error) {
      if (Date.now() > untilMs) {
        end()
        throw new Error(`${options.command} does not serve: ${said}`, { cause: error })
      }
      await sleep(10)
    }
  }
}
