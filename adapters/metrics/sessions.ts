import { show } from '../../src/errors.js'
import type { Watched } from '../../src/observe/watch.js'

/** What counts for a register, or for a `MeterProvider`: once, however often it is asked for. */
export interface Session {
  /** By name; those who join must ask for the same. */
  readonly settings: Readonly<Record<string, unknown>>
  add(watched: Watched): void
  remove(watched: Watched): void
  /** Called once the last has left. */
  end(): void
}

const sessions = new WeakMap<object, Map<string, { readonly session: Session; members: number }>>()

/**
 * Lets caches take part in what counts for an owner under a name; begins it if it is not there.
 *
 * @returns Ends their part. More than once is no error.
 * @throws TypeError: a setting differs from those it was begun with.
 */
export function join(
  caller: string,
  owner: object,
  name: string,
  watched: Watched,
  settings: Session['settings'],
  begin: () => Session,
): () => void {
  const known = sessions.get(owner) ?? new Map<string, never>()
  sessions.set(owner, known)
  let running = known.get(name) as { readonly session: Session; members: number } | undefined
  if (running === undefined) {
    running = { session: begin(), members: 0 }
    ;(known as Map<string, typeof running>).set(name, running)
  } else checkSame(caller, running.session.settings, settings)
  const { session } = running
  const own = running
  own.members++
  session.add(watched)
  let isOver = false
  return () => {
    if (isOver) return
    isOver = true
    session.remove(watched)
    if (--own.members > 0) return
    known.delete(name)
    session.end()
  }
}

function checkSame(caller: string, running: Session['settings'], wanted: Session['settings']) {
  for (const [option, value] of Object.entries(wanted)) {
    if (String(running[option]) === String(value)) continue
    throw new TypeError(
      `${caller}: ${option}: ${show(value)} differs from ${show(running[option])}, with which it was called before; give the same, or another \`register\` or \`provider\``,
    )
  }
}
