import { spawn, type ChildProcess } from 'node:child_process'
import { once } from 'node:events'
import type { AddressInfo } from 'node:net'
import { fileURLToPath } from 'node:url'
import type { Express } from 'express'
import type { Country } from 'world-countries'
import { buildPackage } from '../support/servers.js'

/** A page that was asked for, and what that cost. */
export interface Visit {
  readonly status: number
  readonly body: Buffer
  readonly account: {
    readonly fragments: readonly { name: string; outcome: string }[]
    readonly bodies: readonly (readonly string[])[]
    readonly response: { outcome: string } | undefined
  }
}

/** The parts of Atlas under test; it is plain JavaScript, so their types are stated here. */
interface AtlasModules {
  'data/countries.mjs': {
    readonly countries: readonly Country[]
    readonly regions: readonly { slug: string; name: string; members: readonly Country[] }[]
    countryOf(code: string): Country
    sortedByName(list: Iterable<Country>, lang: string): { country: Country; name: string }[]
  }
  'data/languages.mjs': {
    readonly languages: readonly { tag: string; key: string; dir: string }[]
    languageOf(tag: unknown): { tag: string }
    nameIn(country: Country, lang: string): string
  }
  'data/distance.mjs': {
    distanceKm(a: readonly [number, number], b: readonly [number, number]): number
    nearestCapitals(from: Country, count: number): { country: Country; km: number }[]
  }
  'data/borders.mjs': {
    readonly borders: ReadonlyMap<string, ReadonlyMap<string, number>>
    landRoute(from: string, to: string): { codes: string[]; km: number } | undefined
  }
  'data/statistics.mjs': {
    longestRoute(): { codes: string[]; km: number }
    landMasses(): string[][]
    doublyLandlocked(): Country[]
  }
  'data/map.mjs': {
    countryMap(code: string): { shapes: { path: string; kind: string }[]; speck: boolean }
  }
  'compare.mjs': {
    faultsOf(cold: Visit, warm: Visit): Iterable<string>
  }
  'site.mjs': {
    createSite(where?: string): Promise<{ readonly app: Express; close(): Promise<void> }>
  }
  'notes.mjs': {
    createNotes(): { get(code: string): string; set(code: string, text: unknown): void }
  }
}

/** Loads a part of Atlas. */
export async function atlas<Path extends keyof AtlasModules>(
  path: Path,
): Promise<AtlasModules[Path]> {
  const url = new URL(`../../examples/atlas/${path}`, import.meta.url)
  return (await import(url.href)) as AtlasModules[Path]
}

const root = fileURLToPath(new URL('../..', import.meta.url))

async function run(args: string[]): Promise<ChildProcess> {
  await buildPackage()
  return spawn(process.execPath, ['examples/atlas/server.mjs', ...args], {
    cwd: root,
    stdio: ['ignore', 'pipe', 'pipe'],
  })
}

/** Opens Atlas on a free port of this process. */
export async function openAtlas(
  where?: string,
): Promise<{ origin: string; close(): Promise<void> }> {
  const { createSite } = await atlas('site.mjs')
  const site = await createSite(where)
  const server = site.app.listen(0, '127.0.0.1')
  await once(server, 'listening')
  const { port } = server.address() as AddressInfo
  return {
    origin: `http://127.0.0.1:${port}`,
    async close() {
      server.close()
      server.closeAllConnections()
      await site.close()
    },
  }
}

function collect(child: ChildProcess): { text: string } {
  const output = { text: '' }
  for (const stream of [child.stdout, child.stderr]) {
    stream?.setEncoding('utf8').on('data', (chunk: string) => {
      output.text += chunk
    })
  }
  return output
}

/** Runs `npm run demo` to its end, with options that make it end. */
export async function runAtlas(args: string[]): Promise<{ code: number | null; output: string }> {
  const child = await run(args)
  const output = collect(child)
  const [code] = (await once(child, 'close')) as [number | null]
  return { code, output: output.text }
}

/** A running site; `stop` ends it and answers with its exit code. */
export interface RunningAtlas {
  readonly origin: string
  stop(): Promise<number | null>
}

/** Starts Atlas on a free port, as `npm run demo` does. */
export async function startAtlas(args: string[] = []): Promise<RunningAtlas> {
  const child = await run(args)
  const output = collect(child)
  const exited = once(child, 'exit') as Promise<[number | null]>
  const address = /at (http:\/\/127\.0\.0\.1:\d+)\//
  for (;;) {
    const [, origin] = address.exec(output.text) ?? []
    if (origin !== undefined) {
      return {
        origin,
        async stop() {
          child.kill('SIGTERM')
          const [code] = await exited
          return code
        },
      }
    }
    if (child.exitCode !== null) throw new Error(`Atlas did not start:\n${output.text}`)
    await new Promise((resolve) => setTimeout(resolve, 20))
  }
}
