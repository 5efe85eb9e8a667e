import { composed, coreOf } from '../backend/core.js'
import { Cache } from '../cache.js'
import { CacheBackendError } from '../errors.js'
import { BusOutage } from './tiered/bus-outage.js'
import { BusEnd } from './tiered/bus.js'
import { TieredEntries } from './tiered/entries.js'
import { NearMemory } from './tiered/near-memory.js'
import { TieredPrimitives } from './tiered/primitives.js'
import { Remote } from './tiered/remote.js'
import {
  checkSettings,
  commonSettings,
  TIERED_KNOWN,
  type TieredSettings,
} from './tiered/settings.js'

export type { Bus, BusListener } from '../bus.js'
export type { TieredSettings } from './tiered/settings.js'

/**
 * Local memory in front of a shared cache. A hit costs no round trip, and what one process writes, removes or
 * invalidates leaves the memory of the others.
 *
 * Reads look in local memory, then in the remote cache. What the remote cache returns is kept locally for no
 * longer than it lives. Writes go to the remote cache first, and count once the remote cache has them. The
 * remote cache decides `add`, `incr` and every other condition.
 *
 * @remarks While the connection that reports changes is lost, nothing is served from local memory. If the
 *   remote cache fails, hits in local memory still work.
 */
export class TieredCache extends Cache {
  /** Written out, because minifiers shorten the names of classes. */
  static override readonly name: string = 'TieredCache'
  /** @throws InvalidCacheBackendError: a setting is unknown, of the wrong kind or contradicts `remote`. */
  constructor(settings: TieredSettings) {
    const { local, remote: cache, bus, localTimeout } = checkSettings(settings)
    super(
      commonSettings(settings, coreOf(cache).settings),
      TIERED_KNOWN,
      composed((core) => {
        const alias = () => core.alias
        const remote = new Remote(cache, alias)
        const outage = new BusOutage(alias)
        const near = new NearMemory({
          local: coreOf(local),
          remote: remote.core,
          bus: bus === undefined ? undefined : new BusEnd(bus, outage),
          outage,
          localTimeout,
          starting: () => remote.name(),
        })
        return {
          store: new TieredPrimitives(remote, near, () => local.close()),
          entries: new TieredEntries(remote, near),
          types: remote.core.types,
          // What the remote cache said of its failure, it has reported.
          isReported: (error) => error instanceof CacheBackendError,
          standsOn: [coreOf(local), remote.core],
          outageBeside: () => outage.lasting,
        }
      }),
    )
  }
}
