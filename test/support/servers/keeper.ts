import { readFile, rm } from 'node:fs/promises'
import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import { join } from 'node:path'
import type { TestProject } from 'vitest/node'
import { build, root } from '../../../scripts/build.mjs'
import type { KeeperAnswer } from '../servers.js'
import { installPackage } from './installation.js'
import { openServer, type ServerKind } from './kinds.js'

/**
 * Starts the servers that suites ask for, each once per run, and stops them at its end. Suites that need
 * the build at the same time wait for one.
 */
export default async function keepServers(project: TestProject): Promise<() => Promise<void>> {
  const opened = new Map<ServerKind, ReturnType<typeof openServer>>()

  const answer = async (kind: ServerKind): Promise<KeeperAnswer> => {
    const opening = opened.get(kind) ?? openServer(kind)
    opened.set(kind, opening)
    const server = await opening
    return 'missing' in server ? server : { url: server.url }
  }

  let building: Promise<void> | undefined
  const buildOnce = () => (building ??= build().finally(() => (building = undefined)))

  /** By the sources they were made of, which change where somebody watches. */
  const installations = new Map<string, Promise<string>>()
  const installOnce = async () => {
    await buildOnce()
    const sources = await readFile(join(root, 'dist', 'sources.sha256'), 'utf8')
    const known = installations.get(sources)
    const folder = known ?? installPackage()
    installations.set(sources, folder)
    return { folder: await folder }
  }

  const replyTo = (wanted: string): Promise<unknown> => {
    if (wanted === 'build') return buildOnce()
    if (wanted === 'installation') return installOnce()
    return answer(wanted as ServerKind)
  }

  const server = createServer((request, response) => {
    replyTo((request.url ?? '').slice(1)).then(
      (found) => response.end(JSON.stringify(found ?? {})),
      (error: unknown) => response.writeHead(500).end(String(error)),
    )
  })
  await new Promise<void>((listening) => server.listen(0, '127.0.0.1', listening))
  const { port } = server.address() as AddressInfo
  project.provide('serverKeeper', `http://127.0.0.1:${port}`)

  return async () => {
    server.close()
    server.closeAllConnections()
    for (const one of await Promise.allSettled(opened.values())) {
      if (one.status === 'fulfilled' && 'stop' in one.value) await one.value.stop()
    }
    for (const one of await Promise.allSettled(installations.values())) {
      if (one.status === 'fulfilled') await rm(one.value, { recursive: true, force: true })
    }
  }
}
