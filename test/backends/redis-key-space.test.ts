import { describe, expect, it } from 'vitest'
import { escapeGlob, keySpaceOf, surroundings } from '../../src/backends/redis/key-space.js'
import { defaultKeyFunction, type KeyFunction, type Version } from '../../src/keys.js'

function owns(
  storedKey: string,
  keyPrefix: string,
  keyFunction: KeyFunction = defaultKeyFunction,
  version: Version = 1,
) {
  return keySpaceOf(keyFunction, keyPrefix, version)?.owns(storedKey)
}

describe('the keys of a cache', () => {
  it('are found by a pattern in which nothing of the prefix is one', () => {
    const pattern = (prefix: string) => keySpaceOf(defaultKeyFunction, prefix, 1)?.pattern
    expect(pattern('shop')).toBe('shop:*:*')
    expect(pattern('')).toBe(':*:*')
    expect(pattern('a*b?[c]\\^-')).toBe('a\\*b\\?\\[c\\]\\\\\\^\\-:*:*')
    expect(escapeGlob('plain:1')).toBe('plain:1')
  })

  it.each([
    ['shop:1:k', 'shop', true],
    ['shop:2:k', 'shop', true],
    ['shop:-3:k', 'shop', true],
    ['shop:1.5:k', 'shop', true],
    ['shop:1:a:2:b', 'shop', true],
    ['shop:v7:k', 'shop', true],
    ['shop:1:with\nline', 'shop', true],
    [':1:k', '', true],
    ['shop:eu:1:k', 'shop:eu', true],
    ['shop:eu:1:k', 'shop', false],
    ['shop:1:k', '', false],
    ['shopping:1:k', 'shop', false],
    ['shop2:1:k', 'shop', false],
    ['shop', 'shop', false],
    ['shop:', 'shop', false],
    ['SHOP:1:k', 'shop', false],
    ['xshop:1:k', 'shop', false],
    ['aab:1:k', 'a*b', false],
    ['a*b:1:k', 'a*b', true],
    ['a.b:1:k', 'a.b', true],
    ['axb:1:k', 'a.b', false],
  ])('%j with the prefix %j: %s', (storedKey, prefix, is) => {
    expect(owns(storedKey, prefix)).toBe(is)
  })

  it('are those of its own version whatever text that is', () => {
    expect(owns('shop:eu:1:k', 'shop', defaultKeyFunction, 'eu')).toBe(true)
    expect(owns('shop:(.*):1:k', 'shop', defaultKeyFunction, '(.*)')).toBe(true)
  })

  it('are found with any key function that leaves key and prefix as they are', () => {
    const custom: KeyFunction = (key, prefix, version) => `X-${prefix}-${version}-${key}`
    expect(keySpaceOf(custom, 'p', 1)?.pattern).toBe('X\\-p\\-*\\-*')
    expect(owns('X-p-7-k', 'p', custom)).toBe(true)
    expect(owns('X-p-q-7-k', 'p', custom)).toBe(false)
    expect(owns('X-q-7-k', 'p', custom)).toBe(false)
    const reversed: KeyFunction = (key, prefix, version) => `${key}@${version}.${prefix}`
    expect(owns('k@1.p', 'p', reversed)).toBe(true)
    expect(owns('k@1.q', 'p', reversed)).toBe(false)
    const versionFirst: KeyFunction = (key, prefix, version) => `${version}:${prefix}:${key}`
    expect(owns('7:shop:k', 'shop', versionFirst)).toBe(true)
    expect(owns('about:shop:hours', 'shop', versionFirst)).toBe(false)
    const without: KeyFunction = (key, prefix) => `${prefix}/${key}`
    expect(owns('p/k', 'p', without)).toBe(true)
    expect(owns('q/k', 'p', without)).toBe(false)
  })

  it('cannot be told where the key function hides them', () => {
    const hidden: KeyFunction[] = [
      (key, prefix) => Buffer.from(prefix + key).toString('hex'),
      (key, prefix, version) => `app:${Buffer.from(`${prefix}${version}${key}`).toString('hex')}`,
      (key, prefix) => (prefix === 'p' ? key : `other:${key}`),
    ]
    for (const keyFunction of hidden) expect(keySpaceOf(keyFunction, 'p', 1)).toBe(undefined)
  })

  it('are all keys where the key function knows no prefix', () => {
    expect(owns('k', 'p', (key) => key)).toBe(true)
  })
})

describe('what stands around a key', () => {
  it('is what the key function puts there', () => {
    expect(surroundings(defaultKeyFunction, 'shop', 2)).toEqual(['shop:2:', ''])
    expect(surroundings((key, prefix) => `<${prefix}|${key}>`, 'p', 1)).toEqual(['<p|', '>'])
    expect(surroundings((key) => Buffer.from(key).toString('hex'), 'p', 1)).toBe(undefined)
    expect(surroundings((key) => `${key}${key}`, 'p', 1)).toBe(undefined)
    expect(surroundings((key) => `${key.length}:${key}:${key.at(-1)}`, 'p', 1)).toBe(undefined)
  })
})
