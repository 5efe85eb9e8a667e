/** The shortest way from `start` back to itself, or `undefined`. */
function circleFrom(start, imports) {
  const cameFrom = new Map()
  const queue = [start]
  for (const file of queue) {
    for (const next of imports.get(file) ?? []) {
      if (next === start) {
        const way = [start]
        for (let at = file; at !== start; at = cameFrom.get(at)) way.unshift(at)
        return [start, ...way]
      }
      if (cameFrom.has(next)) continue
      cameFrom.set(next, file)
      queue.push(next)
    }
  }
  return undefined
}

/** Every file that can be reached from `start`. */
function reachable(start, imports) {
  const found = new Set()
  const queue = [start]
  for (const file of queue) {
    for (const next of imports.get(file) ?? []) {
      if (found.has(next)) continue
      found.add(next)
      queue.push(next)
    }
  }
  return found
}

/**
 * The groups of files of which each imports, by way of others, each.
 *
 * @param {ReadonlyMap<string, readonly string[]>} imports
 */
export function circlesIn(imports) {
  const reach = new Map([...imports.keys()].map((file) => [file, reachable(file, imports)]))
  const left = new Set(imports.keys())
  const circles = []
  for (const file of left) {
    const files = [...left].filter(
      (other) => reach.get(file).has(other) && reach.get(other).has(file),
    )
    for (const one of files) left.delete(one)
    if (files.length === 0) continue
    const ways = files.map((one) => circleFrom(one, imports))
    circles.push({ files, shortest: ways.sort((a, b) => a.length - b.length)[0] })
  }
  return circles
}
