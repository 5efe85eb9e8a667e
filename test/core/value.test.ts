import { describe, expect, it } from 'vitest'
import { LocMemCache } from '../../src/index.js'

class Decimal {
  toJSON(): string {
    return '1.50'
  }
}
class Plain {}

const deep = (): unknown => {
  let value: unknown = new Plain()
  for (let i = 0; i < 500; i++) value = { inside: value }
  return value
}

describe('what cannot be stored is named by its path', () => {
  it.each<[value: unknown, message: string | RegExp]>([
    [new Plain(), 'value: an instance of Plain cannot be stored'],
    [
      [{ price: new Decimal() }],
      /^value\[0\]\.price: an instance of Decimal .* its toJSON\(\) gives, or say .*types: \[\{ name: "Decimal", is,/,
    ],
    [{ a: { 'b c': [1, () => 1] } }, 'value.a["b c"][1]: a function cannot be stored'],
    [new Map([['k', [new Plain()]]]), 'value.get("k")[0]: an instance of Plain'],
    [new Map([[new Plain(), 1]]), 'value.keys(): an instance of Plain'],
    [new Set([Promise.resolve()]), 'value.values(): a promise cannot be stored; await it first'],
    [{ ok: 1, row: new Proxy({}, {}) }, 'value.row: a proxy cannot be stored'],
    [{ name: Symbol('x') }, 'value.name: '],
    [deep(), /^value(\.inside)+, deep inside: |^value, deep inside: an instance of Plain/],
  ])('%#', async (value, message) => {
    const cache = new LocMemCache()
    await expect(cache.set('k', value)).rejects.toThrow(message)
    const { message: ofMany } = (await cache.setMany({ a: 1, k: value }).catch(Object)) as Error
    expect(ofMany).toMatch(/^"k": value/)
    expect(ofMany.slice('"k": '.length)).toMatch(message)
    expect(await cache.get('a')).toBeUndefined()
  })

  it('finds its way through values that contain themselves', async () => {
    const value: Record<string, unknown> = { list: [] }
    value['self'] = value
    ;(value['list'] as unknown[]).push(value, { bad: new Plain() })
    const set = new LocMemCache().set('k', value)
    await expect(set).rejects.toThrow('value.list[1].bad: an instance of Plain')
  })
  it('leaves alone what a function of the caller throws', async () => {
    const thrown = new TypeError('values are locked')
    const fail = () => {
      throw thrown
    }
    const byKey = new LocMemCache({ keyFunction: fail }).setMany({ k: 1 })
    await expect(byKey).rejects.toBe(thrown)
    const byGetter = new LocMemCache().setMany({
      k: Object.defineProperty({}, 'a', { get: fail, enumerable: true }),
    })
    await expect(byGetter).rejects.toBe(thrown)
  })
})
