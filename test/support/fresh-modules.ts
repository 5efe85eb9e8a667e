import { channel } from 'node:diagnostics_channel'
import { afterAll, vi } from 'vitest'

// Files that share a process each get modules of their own, with what those remember.
vi.resetModules()

// Who is left behind would be told of all that the files after it do, and slow them down.
afterAll(() => {
  const names = ['operation', 'operation-sum', 'fragment', 'fragment-sum', 'response', 'outage']
  const left = names.filter((name) => channel(`fragcache:${name}`).hasSubscribers)
  if (left.length > 0) throw new Error(`somebody still listens to ${left.join(', ')}`)
})
