/** A warning of this package. */
export interface Warned {
  readonly code: string
  readonly message: string
  readonly atMs: number
}

type Listener = (warned: Warned) => void

const listeners = new Set<Listener>()

function onWarning(warning: Error & { readonly code?: unknown }): void {
  const { code, message } = warning
  if (typeof code !== 'string' || !code.startsWith('FRAGCACHE_')) return
  for (const listener of listeners) listener({ code, message, atMs: Date.now() })
}

/**
 * Tells of every warning of this package in this process.
 *
 * @returns Ends it.
 * @remarks One listener of the process, however many listen here: Node warns of more than ten.
 */
export function onFragcacheWarning(listener: Listener): () => void {
  if (listeners.size === 0) process.on('warning', onWarning)
  listeners.add(listener)
  return () => {
    listeners.delete(listener)
    if (listeners.size === 0) process.off('warning', onWarning)
  }
}
