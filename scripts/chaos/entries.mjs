/** The kinds of entries of the random workload, and the ways to invalidate them. */
import { AWAITED, DECLARED, EARLY, LATE, tagOf } from './world.mjs'

const LOCK = { wait: 2, lease: 1 }

/** So short that a page is made also while another process holds the lease. */
const PAGE_LOCK = { wait: 0.3, lease: 0.5 }

/** Handles by which something inside an entry reaches it: what removes the entry alone does not. */
const tagHandle = (thing) => `tag:${thing}`

/**
 * @param {import('./world.mjs').World} world
 * @param {readonly string[]} things
 * @returns {{ entries: import('./world.mjs').Entry[], ways: { thing: string, handle: string, soft?: boolean, run: () => Promise<unknown> }[] }}
 */
export function entriesOf(world, things) {
  const entries = []
  const ways = []
  things.forEach((thing, i) => {
    const other = things[(i + 1) % things.length]
    for (const add of [addValues, addFragments, addPages])
      add({ world, thing, other, entries, ways })
    const tags = [tagOf(thing)]
    const handle = tagHandle(thing)
    // Once per kind of entry, or they would be rare among all that concern one entry only.
    for (let n = 0; n < 12; n++) {
      ways.push({ thing, handle, run: () => world.caches.invalidateTags(tags) })
    }
    const soft = () => world.caches.invalidateTags(tags, { soft: true })
    ways.push({ thing, handle, soft: true, run: soft })
    ways.push({ thing, handle: 'clear:default', run: () => world.cache.clear() })
  })
  return { entries, ways }
}

function addValues({ world, thing, other, entries, ways }) {
  const { cache } = world
  const tags = [tagOf(thing)]
  const value = (kind, options, make) => {
    const name = `value-${kind}-${thing}`
    const own = [tagHandle(thing), `key:${name}`, 'clear:default']
    const look = () => cache.getOrSet(name, () => make(name), options)
    const entry = { name, handles: { [thing]: own }, look }
    entries.push(entry)
    ways.push({ thing, handle: `key:${name}`, run: () => cache.delete(name) })
    ways.push({ thing, handle: `key:${name}`, soft: true, run: () => cache.expire(name) })
    return entry
  }
  const declared = value(DECLARED, { tags }, (name) => world.make(name, thing))
  for (const declaring of [AWAITED, EARLY, LATE]) {
    value(declaring, {}, (name) => world.make(name, thing, declaring))
  }
  value('locked', { tags, lock: LOCK }, (name) => world.make(name, thing))
  const stale = { tags, staleWhileRevalidate: 60 }
  value('stale', stale, (name) => world.make(name, thing)).mayBeStale = true

  const inner = { ...declared, name: `value-${DECLARED}-${other}` }
  inner.look = () =>
    cache.getOrSet(inner.name, () => world.make(inner.name, other), { tags: [tagOf(other)] })
  const outer = value('outer', { tags }, async (name) => around(world, name, thing, inner))
  outer.handles[other] = [tagHandle(other), 'clear:default']
}

function addFragments({ world, thing, other, entries, ways }) {
  const { fragments } = world
  const tags = [tagOf(thing)]
  const fragment = (kind, of, options, make, alias = 'template_fragments') => {
    const fragmentName = `fragment-${kind}`
    const name = `${fragmentName}-${of}`
    const settings = { name: fragmentName, varyOn: [of], timeout: 300, using: alias, ...options }
    const look = async () =>
      JSON.parse(await fragments.render(settings, async () => JSON.stringify(await make(name))))
    const handles = [tagHandle(of), `key:${name}`, `name:${fragmentName}`, `clear:${alias}`]
    return { name, handles: { [of]: handles }, look }
  }
  const add = (entry, kind, alias) => {
    const name = `fragment-${kind}`
    const place = { using: alias ?? 'template_fragments' }
    entries.push(entry)
    const remove = () => fragments.delete(name, [thing], place)
    ways.push({ thing, handle: `key:${entry.name}`, run: remove })
    ways.push({ thing, handle: `name:${name}`, run: () => fragments.invalidate(name, place) })
    return entry
  }
  const of = (kind, options, make, alias) =>
    add(fragment(kind, thing, options, make, alias), kind, alias)
  of(DECLARED, { tags }, (name) => world.make(name, thing))
  for (const declaring of [AWAITED, EARLY, LATE]) {
    of(declaring, {}, (name) => world.make(name, thing, declaring))
  }
  of('locked', { tags, lock: LOCK }, (name) => world.make(name, thing))

  // In the same cache, and in another one.
  for (const alias of ['template_fragments', 'default']) {
    const inner = fragment(DECLARED, other, { tags: [tagOf(other)] }, (name) =>
      world.make(name, other),
    )
    const kind = `outer-${alias}`
    const outer = of(kind, { tags }, (name) => around(world, name, thing, inner), alias)
    outer.handles[other] = [tagHandle(other), `name:fragment-${DECLARED}`]
  }
}

function addPages({ world, thing, entries, ways }) {
  const tags = [tagOf(thing)]
  const page = (kind, options, declaring) => {
    const name = `page-${kind}-${thing}`
    const make = () => world.make(name, thing, declaring)
    const { get, invalidate } = world.site.addPage(`/${kind}/${thing}`, make, options)
    const byTag = kind === 'url' ? [] : [tagHandle(thing)]
    const handles = { [thing]: [...byTag, `url:${name}`, 'clear:default'] }
    entries.push({ name, handles, look: get })
    ways.push({ thing, handle: `url:${name}`, run: invalidate })
  }
  page('static', { tags }, DECLARED)
  page('function', { tags: () => tags }, DECLARED)
  page('url', {}, DECLARED)
  page('locked', { tags, lock: PAGE_LOCK }, DECLARED)
  for (const declaring of [AWAITED, EARLY, LATE]) page(declaring, {}, declaring)
}

/** An entry that contains another one. */
async function around(world, name, thing, inner) {
  const { numbers: inside } = await world.look(inner)
  const { numbers } = await world.make(name, thing)
  return { entry: name, numbers: { ...inside, ...numbers } }
}
