/** What a listener can ask about the call or fragment that it hears about, while it hears about it. */
interface Told {
  /** When it ended, by `performance.now()`. */
  endedMs: number
}

const TOLD = Symbol.for('fragcache.told.1')

const scope = globalThis as { [TOLD]?: Told }

/**
 * Of this process, for all copies of the package in it. A listener that read the clock itself would read it later,
 * and what took `durationMs` would seem to have begun later too.
 */
export const told: Told = (scope[TOLD] ??= { endedMs: 0 })

/** In place of the moment when something began. */
export const UNTIMED = -1

/** How long something took that ends now, in milliseconds; 0: it is {@link UNTIMED}. */
export function endNow(startedMs: number): number {
  told.endedMs = performance.now()
  return startedMs === UNTIMED ? 0 : told.endedMs - startedMs
}
