/**
 * What requests and renders that have nothing in common leave behind, in bytes that are still in use:
 * as a share of what a process may remember, beside what its caches keep.
 */
import { spawnSync } from 'node:child_process'
import { fileURLToPath } from 'node:url'
import { row } from './measure.mjs'
import { CASES } from './memory-cases.mjs'

const MIB = 1024 * 1024

/** docs/production.md has it. */
const TOTAL_MIB = 48

export function run() {
  return Object.keys(CASES).map((name) => {
    const { count, bytes, resident } = measure(name)
    const detail = `${(bytes / MIB).toFixed(1)} MiB after ${count}, ${(resident / MIB).toFixed(0)} MiB resident`
    return row(`memory: ${name}`, bytes / MIB / TOTAL_MIB, 1, detail)
  })
}

/** In a process of its own: what another case left would be given up for it. */
function measure(name) {
  const { status, stdout } = spawnSync(
    process.execPath,
    [
      '--expose-gc',
      '--no-warnings',
      fileURLToPath(new URL('./memory-process.mjs', import.meta.url)),
      name,
    ],
    { stdio: ['ignore', 'pipe', 'inherit'], encoding: 'utf8' },
  )
  if (status !== 0) throw new Error(`memory: ${name} ended with ${status}`)
  return JSON.parse(stdout)
}
