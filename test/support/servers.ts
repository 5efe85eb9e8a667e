import { inject } from 'vitest'
import type { ServerKind } from './servers/kinds.js'

export type { ServerKind } from './servers/kinds.js'
export { startProxy, type Proxy } from './servers/proxy.js'
export { freePort, startServer, type ServerOptions, type TestServer } from './servers/process.js'

/** What the keeper of the servers answers. */
export type KeeperAnswer = { readonly url: string } | { readonly missing: string }

declare module 'vitest' {
  interface ProvidedContext {
    /** Where the keeper of the shared servers is to be asked. */
    serverKeeper: string
  }
}

/**
 * A server shared by all suites of the run, started when it is first asked for.
 *
 * @returns Its URL (`host:port` for Memcached), or `undefined` where the machine has no such server:
 *   the suite is then skipped, and a line on the console says what to install.
 * @throws Error With `CI=true` a missing server is a failure, since the suite would prove nothing.
 */
export async function sharedServer(kind: ServerKind): Promise<{ url: string } | undefined> {
  const answer = (await askKeeper(kind)) as KeeperAnswer
  if ('url' in answer) return answer
  if (process.env['CI'] === 'true') throw new Error(answer.missing)
  console.warn(`skipped: ${answer.missing}`)
  return undefined
}

/** Makes `dist/` of the sources as they are; suites that need it at the same time wait for one build. */
export async function buildPackage(): Promise<void> {
  await askKeeper('build')
}

/** The folder of an empty project in which npm installed the packed tarball; only to be read. */
export async function installedPackage(): Promise<string> {
  return ((await askKeeper('installation')) as { folder: string }).folder
}

async function askKeeper(wanted: string): Promise<unknown> {
  const response = await fetch(`${inject('serverKeeper')}/${wanted}`)
  if (!response.ok) throw new Error(await response.text())
  return response.json()
}
