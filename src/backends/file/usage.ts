import { lstat } from 'node:fs/promises'
import { unless } from './entry-file.js'
import type { Folders } from './folders.js'
import { mapLimited } from './limit.js'

/** Files that are looked at. With more of them it is estimated by these, some three per cent off. */
const SAMPLE = 2048

/** What lies in a location. */
export interface Usage {
  readonly entries: number
  /** Of the files, which hold key and deadline too. */
  readonly bytes: number
}

/** Looks at shards one after the other until enough files were seen: keys are spread over them by chance. */
export async function measureUsage(folders: Folders): Promise<Usage> {
  const shards = await folders.shards()
  // Repeated looks do not always see the same shards.
  const first = Math.floor(Math.random() * shards.length)
  const inTurn = [...shards.slice(first), ...shards.slice(0, first)]
  let [listed, entries, bytes] = [0, 0, 0]
  for (const shard of inTurn) {
    if (entries >= SAMPLE) break
    const files = await folders.entries(shard)
    const sizes = await mapLimited(files, 16, async (file) => {
      return (await unless(['ENOENT', 'ENOTDIR'], lstat(file)))?.size
    })
    for (const size of sizes) {
      if (size === undefined) continue
      entries++
      bytes += size
    }
    listed++
  }
  const share = listed === 0 ? 1 : inTurn.length / listed
  return { entries: Math.round(entries * share), bytes: Math.round(bytes * share) }
}
