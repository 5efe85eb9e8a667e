/* exported groupsOf */

/** @typedef {{ readonly id: number, readonly name: string, readonly around?: number }} Neighbour */

/**
 * Puts equal neighbours together: those of one name that follow each other in the same place, and what is
 * inside of such neighbours, as the price in each of twenty cards.
 *
 * @template {Neighbour} T
 * @param {readonly T[]} all - In the order of the page, the outer before the inner.
 * @returns {T[][]}
 */
function groupsOf(all) {
  /** @type {T[][]} */
  const groups = []
  /** By what is around them. @type {Map<T[] | undefined, { last: T[] | undefined, byName: Map<string, T[]> }>} */
  const inside = new Map()
  /** @type {Map<number, T[]>} */
  const groupOf = new Map()
  for (const one of all) {
    const around = one.around === undefined ? undefined : groupOf.get(one.around)
    const here = inside.get(around) ?? { last: undefined, byName: new Map() }
    inside.set(around, here)
    const before = around !== undefined && around.length > 1 ? here.byName.get(one.name) : here.last
    let group = before?.[0]?.name === one.name ? before : undefined
    if (group === undefined) groups.push((group = []))
    group.push(one)
    here.last = group
    here.byName.set(one.name, group)
    groupOf.set(one.id, group)
  }
  return groups
}
