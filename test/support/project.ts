import { execFile } from 'node:child_process'
import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'

export const projectRoot = fileURLToPath(new URL('../..', import.meta.url))

/** The parts of a package.json that are looked at here. */
export interface Manifest {
  readonly name: string
  readonly version: string
  readonly main: string
  readonly types: string
  readonly typesVersions: Readonly<Record<string, Readonly<Record<string, readonly string[]>>>>
  readonly repository: { readonly type: string; readonly url: string }
  readonly homepage: string
  readonly bugs: string
  readonly exports: Readonly<Record<string, string | { types: string; default: string }>>
  readonly bin: Readonly<Record<string, string>>
  readonly scripts: Readonly<Record<string, string>>
  readonly dependencies?: Readonly<Record<string, string>>
  readonly peerDependencies: Readonly<Record<string, string>>
  readonly peerDependenciesMeta: Readonly<Record<string, { readonly optional?: boolean }>>
}

export function readManifest(folder: string): Manifest {
  return JSON.parse(readFileSync(join(folder, 'package.json'), 'utf8')) as Manifest
}

export interface Outcome {
  readonly code: number
  readonly out: string
  readonly error: string
}

/** Runs a program to its end; a failure is an outcome, not an exception. */
export function run(program: string, args: readonly string[], cwd: string): Promise<Outcome> {
  return new Promise((resolve) => {
    execFile(
      program,
      args,
      { cwd, maxBuffer: 64 * 1024 * 1024, shell: process.platform === 'win32' },
      (error, out, stderr) => {
        const code = error === null ? 0 : typeof error.code === 'number' ? error.code : -1
        resolve({ code, out: out.trim(), error: stderr.trim() })
      },
    )
  })
}

/** Runs a program to its end. @throws Error With what it printed, where it failed. */
export async function succeed(
  program: string,
  args: readonly string[],
  cwd: string,
): Promise<string> {
  const { code, out, error } = await run(program, args, cwd)
  if (code !== 0) throw new Error(`${program} ${args.join(' ')} failed:\n${out}\n${error}`)
  return out
}
