/**
 * Eviction policies as their authors wrote them down, one key at a time: what the policies of
 * `LocMemCache` are compared with. They follow libCacheSim (the reference simulator of SIEVE's and
 * S3-FIFO's authors), object for object, with its default parameters; TinyLFU follows Caffeine.
 *
 * Each is a function of the number of entries that gives a function `access(key)`: whether it was a hit.
 */

/** A queue of nodes; new ones at its head, and the next to go at its tail. */
class Queue {
  head
  tail
  size = 0

  push(node) {
    node.next = this.head
    node.prev = undefined
    if (this.head === undefined) this.tail = node
    else this.head.prev = node
    this.head = node
    this.size++
  }

  remove(node) {
    if (node.prev === undefined) this.head = node.next
    else node.prev.next = node.next
    if (node.next === undefined) this.tail = node.prev
    else node.next.prev = node.prev
    this.size--
  }

  pop() {
    const node = this.tail
    this.remove(node)
    return node
  }
}

export function lru(capacity) {
  const keys = new Map()
  return (key) => {
    if (keys.delete(key)) {
      keys.set(key, true)
      return true
    }
    if (keys.size >= capacity) keys.delete(keys.keys().next().value)
    keys.set(key, true)
    return false
  }
}

/** Zhang et al., "SIEVE is simpler than LRU" (NSDI 2024). */
export function sieve(capacity) {
  const nodes = new Map()
  const queue = new Queue()
  let hand
  const evict = () => {
    let node = hand ?? queue.tail
    while (node.isVisited) {
      node.isVisited = false
      node = node.prev ?? queue.tail
    }
    hand = node.prev
    queue.remove(node)
    nodes.delete(node.key)
  }
  return (key) => {
    const found = nodes.get(key)
    if (found !== undefined) {
      found.isVisited = true
      return true
    }
    if (queue.size >= capacity) evict()
    const node = { key, isVisited: false }
    nodes.set(key, node)
    queue.push(node)
    return false
  }
}

/** Yang et al., "FIFO queues are all you need for cache eviction" (SOSP 2023). */
export function s3fifo(capacity, threshold = 2) {
  const smallCapacity = Math.floor(capacity * 0.1)
  const mainCapacity = capacity - smallCapacity
  const ghostCapacity = Math.floor(capacity * 0.9)
  const nodes = new Map()
  const small = new Queue()
  const main = new Queue()
  /** Keys in the order in which they left the small queue. */
  const ghost = new Set()
  const evictSmall = () => {
    while (small.size > 0) {
      const node = small.pop()
      if (node.uses >= threshold) {
        node.uses = 0
        main.push(node)
        continue
      }
      nodes.delete(node.key)
      ghost.delete(node.key)
      if (ghost.size >= ghostCapacity) ghost.delete(ghost.values().next().value)
      ghost.add(node.key)
      return
    }
  }
  const evictMain = () => {
    for (;;) {
      const node = main.pop()
      if (node.uses === 0) {
        nodes.delete(node.key)
        return
      }
      node.uses = Math.min(node.uses, 3) - 1
      main.push(node)
    }
  }
  return (key) => {
    const found = nodes.get(key)
    if (found !== undefined) {
      found.uses++
      return true
    }
    const wasGhost = ghost.delete(key)
    while (nodes.size >= capacity) {
      if (main.size > mainCapacity || small.size === 0) evictMain()
      else evictSmall()
    }
    const node = { key, uses: 0 }
    nodes.set(key, node)
    if (wasGhost) main.push(node)
    else small.push(node)
    return false
  }
}

/** Einziger, Friedman, Manes, "TinyLFU" (2017), with a window of 1 % and SLRU behind it, as in Caffeine. */
export function wTinyLfu(capacity) {
  const windowCapacity = Math.max(1, Math.floor(capacity * 0.01))
  const mainCapacity = capacity - windowCapacity
  const protectedCapacity = Math.floor(mainCapacity * 0.8)
  const nodes = new Map()
  const window = new Queue()
  const probation = new Queue()
  const guarded = new Queue()
  const sketch = new FrequencySketch(capacity)
  const move = (node, to) => {
    node.queue.remove(node)
    node.queue = to
    to.push(node)
  }
  const use = (node) => {
    if (node.queue !== probation) {
      move(node, node.queue)
      return
    }
    move(node, guarded)
    if (guarded.size > protectedCapacity) move(guarded.tail, probation)
  }
  const drop = (node) => {
    node.queue.remove(node)
    nodes.delete(node.key)
  }
  const admit = () => {
    const candidate = window.tail
    if (probation.size + guarded.size < mainCapacity) {
      move(candidate, probation)
      return
    }
    const victim = probation.tail ?? guarded.tail
    if (sketch.frequency(candidate.key) > sketch.frequency(victim.key)) {
      drop(victim)
      move(candidate, probation)
    } else drop(candidate)
  }
  return (key) => {
    sketch.increment(key)
    const found = nodes.get(key)
    if (found !== undefined) {
      use(found)
      return true
    }
    const node = { key, queue: window }
    nodes.set(key, node)
    window.push(node)
    if (window.size > windowCapacity) admit()
    return false
  }
}

/** Counters of four bits (kept in bytes here), halved when there were ten times as many keys as entries. */
class FrequencySketch {
  #size = 0

  constructor(capacity) {
    const width = 2 ** Math.ceil(Math.log2(Math.max(8, capacity)))
    this.mask = width * 4 - 1
    this.rows = Array.from({ length: 4 }, () => new Uint8Array(width * 4))
    this.sample = 10 * capacity
  }

  #at(key, row) {
    let hash = Math.imul(key ^ (row * 0x9e3779b9), 0x85ebca6b)
    hash = Math.imul(hash ^ (hash >>> 13), 0xc2b2ae35)
    return (hash ^ (hash >>> 16)) & this.mask
  }

  frequency(key) {
    return Math.min(...this.rows.map((row, i) => row[this.#at(key, i)]))
  }

  increment(key) {
    let isAdded = false
    for (const [i, row] of this.rows.entries()) {
      const at = this.#at(key, i)
      if (row[at] === 15) continue
      row[at]++
      isAdded = true
    }
    if (isAdded && ++this.#size >= this.sample) {
      this.#size >>= 1
      for (const row of this.rows) for (let i = 0; i < row.length; i++) row[i] >>= 1
    }
  }
}
