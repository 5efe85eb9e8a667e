import { currentSession } from '../../src/fragment/deferred.js'
import { refuseHoles } from '../../src/fragment/holes.js'
import { remembering } from './engine-errors.js'
import type { Engine, Filter } from './engine.js'
import type { Holes } from './holes.js'

/** Filters that leave a text as it is, or by which an altered one is found in any case. */
const HARMLESS = new Set(['safe', 'string', 'default', 'd', 'escape', 'e'])

/**
 * Makes the filters of an environment refuse a text in which a fragment or a hole is still to come: `length`
 * and similar filters would return the length of the placeholder.
 */
export function watchFilters(engine: Engine, holes: Holes): void {
  const { getFilter } = engine
  const watched = new WeakMap<Filter, Filter>()
  engine.getFilter = (name) => {
    const filter = getFilter.call(engine, name)
    if ((!holes.areUsed && currentSession() === undefined) || HARMLESS.has(name)) return filter
    let strict = watched.get(filter)
    if (strict === undefined) {
      strict = makeStrict(filter)
      watched.set(filter, strict)
    }
    return strict
  }
}

function makeStrict(filter: Filter): Filter {
  return function (...args) {
    const session = currentSession()
    remembering(() => {
      for (const arg of args) {
        if (typeof arg !== 'string' && !(arg instanceof String)) continue
        const text = String(arg)
        session?.deferred.checkFilled(text)
        refuseHoles(text)
      }
    })
    return filter.apply(this, args)
  }
}
