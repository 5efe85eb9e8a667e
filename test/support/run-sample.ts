import { once } from 'node:events'
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { createRequire, syncBuiltinESMExports } from 'node:module'
import { createServer, type AddressInfo } from 'node:net'
import { join } from 'node:path'
import { pathToFileURL } from 'node:url'
import { format } from 'node:util'
import { vi } from 'vitest'
import { inProject, type Sample } from './samples.js'

const channels = createRequire(import.meta.url)(
  'node:diagnostics_channel',
) as typeof import('node:diagnostics_channel')

/** What a sample did. */
export interface SampleRun {
  /** A line each, also of what prints several. */
  readonly printed: readonly string[]
  /** What went to `console.error`, and warnings. */
  readonly warned: readonly string[]
  readonly exports: Readonly<Record<string, unknown>>
}

/** Others may listen on the port that the samples name. */
async function freePort(): Promise<number> {
  const server = createServer().listen(0)
  await once(server, 'listening')
  const { port } = server.address() as AddressInfo
  server.close()
  await once(server, 'close')
  return port
}

/** Runs samples as modules of this process, where `fragcache` means its sources. */
export class SampleRunner {
  /** In the project, so that packages are found from it. */
  readonly folder = mkdtempSync(inProject('test/.samples-'))
  #count = 0

  /** Only after the last sample has ended: their modules are here. */
  remove(): void {
    rmSync(this.folder, { recursive: true, force: true })
  }

  /**
   * Runs one and waits for as many lines as it promises, since servers print later.
   *
   * @param code - Where it is not the sample's own.
   */
  async run(
    { language, code: own, prints }: Pick<Sample, 'language' | 'code' | 'prints'>,
    code: string = own,
  ): Promise<SampleRun> {
    const printed: string[] = []
    const warned: string[] = []
    const subscribed: Parameters<typeof channels.subscribe>[] = []
    const { subscribe } = channels
    const spies = [
      vi.spyOn(console, 'log').mockImplementation((...texts: unknown[]) => {
        printed.push(...format(...texts).split('\n').map((line) => line.trimEnd())) // prettier-ignore
      }),
      vi.spyOn(console, 'error').mockImplementation((...texts: unknown[]) => {
        warned.push(format(...texts))
      }),
      vi.spyOn(process, 'emitWarning').mockImplementation((warning) => {
        warned.push(String(warning))
      }),
      vi.spyOn(channels, 'subscribe').mockImplementation((name, listener) => {
        subscribed.push([name, listener])
        subscribe(name, listener)
      }),
    ]
    syncBuiltinESMExports()
    const file = join(this.folder, `sample-${++this.#count}.${language === 'ts' ? 'ts' : 'mjs'}`)
    writeFileSync(file, code.replaceAll(/\b3000\b/g, String(await freePort())))
    try {
      vi.resetModules()
      const exports = (await import(/* @vite-ignore */ pathToFileURL(file).href)) as object
      await vi
        .waitUntil(() => printed.length >= prints.length, { timeout: 5000 })
        .catch(() => false)
      await new Promise((resolve) => setImmediate(resolve))
      return { printed, warned, exports: { ...exports } }
    } finally {
      for (const spy of spies) spy.mockRestore()
      syncBuiltinESMExports()
      for (const [name, listener] of subscribed) channels.unsubscribe(name, listener)
    }
  }
}
