const watched = new WeakSet<object>()

/** Notes that reads of an object are watched. */
export function watchObject(object: object): void {
  watched.add(object)
}

/** Whether reads of an object are watched. */
export function isWatched(object: object): boolean {
  return watched.has(object)
}

let depth = 0

/** Whether the calling code reads a request for the cache, so that what it reads gets into no page. */
export function isUnnoticed(): boolean {
  return depth > 0
}

/** Runs code that reads a request for the cache alone. What it does after it returned counts as the handler's. */
export function unnoticed<T>(action: () => T): T {
  depth++
  try {
    return action()
  } finally {
    depth--
  }
}
