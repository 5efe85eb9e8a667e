import { AsyncLocalStorage } from 'node:async_hooks'
import { channel } from 'node:diagnostics_channel'
import { afterAll, vi } from 'vitest'

// Files that share a process each get modules of their own, with what those remember.
vi.resetModules()

const used = new Set<AsyncLocalStorage<unknown>>()
const { run } = AsyncLocalStorage.prototype
AsyncLocalStorage.prototype.run = function (this: AsyncLocalStorage<unknown>, ...given: unknown[]) {
  used.add(this)
  return Reflect.apply(run, this, given) as unknown
} as typeof run

const channels = ['operation', 'fragment', 'response', 'outage']
const listenedTo = () => channels.filter((name) => channel(`fragcache:${name}`).hasSubscribers)
// What another file left behind is that file's fault.
const before = listenedTo()

afterAll(() => {
  vi.restoreAllMocks()
  AsyncLocalStorage.prototype.run = run
  // Each that was ever used costs every promise of the process from then on.
  for (const storage of used) storage.disable()
  // Who is left behind would be told of all that the files after it do, and slow them down too.
  const left = listenedTo().filter((name) => !before.includes(name))
  if (left.length > 0) throw new Error(`somebody still listens to ${left.join(', ')}`)
})
