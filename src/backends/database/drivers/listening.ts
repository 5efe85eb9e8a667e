/** What emits `error`. */
export interface Listening {
  on(event: 'error', listener: (error: unknown) => void): unknown
  removeListener(event: 'error', listener: (error: unknown) => void): unknown
}

const counts = new WeakMap<Listening, number>()

/**
 * Listens to the errors of a connection that nobody is using at the moment: without a listener, a
 * restart of the server would end this process. The next call finds out for itself.
 *
 * @returns Ends it. Caches that share a connection share a listener.
 */
export function quietly(emitter: Listening): () => void {
  const count = counts.get(emitter) ?? 0
  if (count === 0) emitter.on('error', ignore)
  counts.set(emitter, count + 1)
  return () => {
    const left = (counts.get(emitter) ?? 1) - 1
    counts.set(emitter, left)
    if (left === 0) emitter.removeListener('error', ignore)
  }
}

function ignore(): void {
  return undefined
}
