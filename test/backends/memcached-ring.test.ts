import { describe, expect, it } from 'vitest'
import { readFileSync } from 'node:fs'
import { parseLocations } from '../../src/backends/memcached/location.js'
import { Ring } from '../../src/backends/memcached/ring.js'
import { inProject } from '../support/samples.js'

interface List {
  readonly title: string
  readonly servers: readonly string[]
  readonly weights: readonly number[]
  /** The server of each key, one digit each. */
  readonly points: string
}

const golden = JSON.parse(readFileSync(inProject('fixtures/memcached/ketama.json'), 'utf8')) as {
  readonly keys: number
  readonly lists: readonly List[]
}

/** The keys of fixtures/memcached/ketama.c. */
function makeKey(i: number): string {
  switch (i % 5) {
    case 0:
      return `:1:key-${i}`
    case 1: {
      const hash = Math.imul(i, 2654435761) >>> 0
      return `shop:${i % 7}:template.cache.sidebar.${hash.toString(16).padStart(8, '0')}`
    }
    case 2:
      return `k${i}`
    case 3:
      return `:1:café-${i}`
    default:
      return `${i}-${'x'.repeat(i % 200)}`
  }
}

const keys = Array.from({ length: golden.keys }, (_, i) => makeKey(i))

function ringOf(servers: readonly string[], weights: readonly number[] = []): Ring {
  const locations = parseLocations(servers)
  return new Ring(locations.map(({ ringName }, i) => ({ ringName, weight: weights[i] ?? 1 })))
}

const THREE = ['10.0.0.1:11211', '10.0.0.2:11211', '10.0.0.3:11211'] as const

describe('the ring of servers', () => {
  it.each(golden.lists.map((list) => [list.title, list] as const))(
    'puts every key where libmemcached puts it: %s',
    (_, { servers, weights, points }) => {
      expect(points).toHaveLength(golden.keys)
      const ring = ringOf(servers, weights)
      expect(keys.map((key) => String(ring.find(key))).join('')).toBe(points)
    },
  )

  it('moves only the keys of a server that leaves, and gives them back', () => {
    const ring = ringOf(THREE)
    const whole = keys.map((key) => ring.find(key))
    const without = keys.map((key) => ring.find(key, (server) => server === 1))
    expect(without).not.toContain(1)
    whole.forEach((server, i) => {
      if (server !== 1) expect(without[i]).toBe(server)
    })
    // Its keys go to both of the others.
    const moved = whole.flatMap((server, i) => (server === 1 ? [without[i]] : []))
    expect(new Set(moved)).toEqual(new Set([0, 2]))
    expect(keys.map((key) => ring.find(key, () => false))).toEqual(whole)
  })

  it('names a key’s own server where all have left', () => {
    const ring = ringOf(THREE)
    for (const key of keys.slice(0, 50)) expect(ring.find(key, () => true)).toBe(ring.find(key))
  })

  it('moves about a quarter of the keys to a fourth server, and none between the others', () => {
    const three = ringOf(THREE)
    const four = ringOf([...THREE, '10.0.0.4:11211'])
    let moved = 0
    for (const key of keys) {
      const [before, after] = [three.find(key), four.find(key)]
      if (after === 3) moved++
      else expect(after).toBe(before)
    }
    expect(moved / keys.length).toBeGreaterThan(0.15)
    expect(moved / keys.length).toBeLessThan(0.35)
  })
})
