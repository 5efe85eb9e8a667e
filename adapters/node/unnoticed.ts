const watched = new WeakSet<object>()

/** Says that reads of an object are noticed. */
export function watchObject(object: object): void {
  watched.add(object)
}

/** Whether they are. */
export function isWatched(object: object): boolean {
  return watched.has(object)
}

let depth = 0

/** Whether the calling code reads a request for the cache, so that nothing of it gets into a page. */
export function isUnnoticed(): boolean {
  return depth > 0
}

/** Runs what reads a request for the cache alone; not what goes on after it returned. */
export function unnoticed<T>(action: () => T): T {
  depth++
  try {
    return action()
  } finally {
    depth--
  }
}
