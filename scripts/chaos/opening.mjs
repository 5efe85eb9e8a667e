/** What the processes open at the beginning of a part, and what is judged at its end. */
import { mkdir } from 'node:fs/promises'
import { join } from 'node:path'
import { judge } from './checker.mjs'
import { readHistory } from './history.mjs'

/** More than all that is kept at a time, and so little that the store culls all the time. */
export const AMPLE = 10_000
export const SCARCE = 20

/**
 * A new world of caches over the store, the same for all processes that open it.
 *
 * @param {import('./conductor.mjs').Variant} variant
 * @param {{ part: string, maxEntries: number, timeLimitMs: number }} how
 */
export async function newWorld({ running, tiered, folder: parent }, { part, ...limits }) {
  const folder = join(parent, part)
  await mkdir(join(folder, 'history'), { recursive: true })
  const name = `${part}-${tiered}`
  const how = { tiered, prefix: `${part[0]}${Number(tiered)}`, ...limits }
  return { folder, world: name, opening: { world: name, spec: running.spec, how, folder } }
}

export function toVerdict({ folder }, bounds) {
  const events = readHistory(`${folder}/history`)
  return { events, verdict: judge(events, bounds) }
}
