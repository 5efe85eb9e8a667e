/** Known by its name: one process may load two copies of this package. */
const UNWATCHED = Symbol.for('fragcache.unwatched')

/** Marks a response of what shows what the caches do: it is no subject of what it shows. */
export function leaveUnwatched(res: object): void {
  Object.defineProperty(res, UNWATCHED, { value: true })
}

export function isUnwatched(res: object): boolean {
  return UNWATCHED in res
}
