import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll } from 'vitest'
import { main, type CliOutput } from '../../src/cli.js'
import { inProject } from '../support/samples.js'

/** What a run of the command line tool gave. */
export interface Run {
  readonly code: number
  readonly out: string
  readonly error: string
}

/** Runs the tool in this process. */
export async function run(args: readonly string[], more: Partial<CliOutput> = {}): Promise<Run> {
  const out: string[] = []
  const errors: string[] = []
  const code = await main(args, {
    out: (text) => out.push(text),
    error: (text) => errors.push(text),
    ...more,
  })
  return { code, out: out.join('\n'), error: errors.join('\n') }
}

/** Runs it with `--json` and reads what it printed. */
export async function runJson(args: readonly string[]): Promise<Run & { readonly json: unknown }> {
  const done = await run([...args, '--json'])
  if (done.out.includes('\n')) throw new Error(`more than one line: ${done.out}`)
  return { ...done, json: done.out === '' ? undefined : (JSON.parse(done.out) as unknown) }
}

/** A folder of this suite's own. */
export function ownFolder(): string {
  const folder = mkdtempSync(join(tmpdir(), 'fragcache-cli-'))
  afterAll(() => rmSync(folder, { recursive: true, force: true }))
  return folder
}

/**
 * What a configuration begins with.
 *
 * @param root - Where `src` and `adapters` are: the sources, or a bundle of them.
 */
export function imports(root = inProject('.'), extension: 'ts' | 'js' = 'ts'): string {
  const from = (path: string) => JSON.stringify(join(root, `${path}.${extension}`))
  return `
    import Database from ${JSON.stringify(import.meta.resolve('better-sqlite3'))}
    import { createCaches, DummyCache, LocMemCache } from ${from('src/index')}
    import { RedisCache } from ${from('src/backends/redis')}
    import { MemcachedCache } from ${from('src/backends/memcached')}
    import { DatabaseCache } from ${from('src/backends/database')}
    import { FileBasedCache } from ${from('src/backends/file')}
    `
}

let written = 0

/** Writes a configuration and gives its path. */
export function configure(folder: string, code: string, name = `config-${written++}.mjs`): string {
  const file = join(folder, name)
  writeFileSync(file, imports() + code)
  return file
}
