import type { Cluster } from 'node:cluster'

/** Whether a process manager runs the application several times over: `node:cluster`, or PM2. */
export function isOneOfMany(env: NodeJS.ProcessEnv = process.env): boolean {
  // PM2 numbers its processes, and says how many there are.
  const { instances = 0, exec_mode: mode, NODE_APP_INSTANCE: instance = 0 } = env
  if (Number(instance) > 0 || Number(instances) > 1) return true
  const isAlone = mode === 'cluster_mode' && Number(instances) === 1
  return !isAlone && isClusterWorker()
}

/** Loads `node:cluster` only in a process that another one has started. */
function isClusterWorker(): boolean {
  if (process.send === undefined) return false
  return (process.getBuiltinModule('node:cluster') as unknown as Cluster).isWorker
}

/** What tells where a cache keeps what it holds. */
export interface Kept {
  readonly alias: string
  readonly backend: string
  readonly isShared: boolean
}

/** Whether that is the memory of this process alone. */
export function isLocalMemory({ backend, isShared }: Omit<Kept, 'alias'>): boolean {
  return !isShared && backend !== 'DummyCache'
}

let isWarned = false

/** Warns once if caches are in the memory of one of several processes. */
export function warnOfLocalMemory(caches: readonly Kept[]): void {
  const local = caches.filter(isLocalMemory)
  if (isWarned || local.length === 0 || !isOneOfMany()) return
  isWarned = true
  const names = local.map(({ alias, backend }) => `${backend} ${JSON.stringify(alias)}`)
  process.emitWarning(
    `createCaches: ${names.join(', ')}: this process is one of several, and each keeps entries of its own in its memory: what one invalidates the others still serve; use a store that all share, or TieredCache over one (if nothing there is ever invalidated: node --disable-warning=FRAGCACHE_LOCAL_MEMORY); reported once`,
    { type: 'CacheMemoryWarning', code: 'FRAGCACHE_LOCAL_MEMORY' },
  )
}
