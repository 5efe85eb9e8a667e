import { setFlagsFromString } from 'node:v8'
import { runInNewContext } from 'node:vm'
import { describe, expect, it } from 'vitest'
import {
  BoundedMemo,
  BoundedWeakMemo,
  bytesOfText,
  MemoBudget,
  shortKey,
} from '../../src/bounded-memo.js'
import { spellingsOf } from '../support/digests.js'

const BYTES = 100_000

const memoOf = (budget = new MemoBudget(BYTES)) => new BoundedMemo<string>(bytesOfText, budget)

const namesTo = (count: number, prefix = 'name') =>
  Array.from({ length: count }, (_, i) => `${prefix} ${i}`)

describe('a bounded memo', () => {
  it('gives what it was told, until it is told something else', () => {
    const memo = memoOf()
    memo.set('a', 'one')
    expect(memo.get('a')).toBe('one')
    expect(memo.get('b')).toBeUndefined()
    memo.set('a', 'two')
    expect(memo.get('a')).toBe('two')
    memo.delete('a')
    expect(memo.get('a')).toBeUndefined()
  })

  it('holds no more than its bytes, whatever the number of keys', () => {
    const memo = memoOf()
    const value = 'x'.repeat(100)
    const names = namesTo(10_000)
    for (const name of names) memo.set(name, value)
    const held = names.filter((name) => memo.get(name) !== undefined)
    expect(held.length).toBeGreaterThan(100)
    expect(held.length * 2 * value.length).toBeLessThan(BYTES)
    expect(held).toContain('name 9999')
    expect(held).not.toContain('name 0')
  })

  it('holds no more than its bytes where one key is told again and again', () => {
    const memo = memoOf()
    memo.set('kept', 'x')
    for (let i = 0; i < 10_000; i++) {
      memo.set('same', `value ${i}`)
      memo.get('kept')
    }
    expect(memo.get('kept')).toBe('x')
    expect(memo.get('same')).toBe('value 9999')
  })

  it('keeps what is used while others come and go', () => {
    const memo = memoOf()
    memo.set('used', 'x')
    for (const name of namesTo(10_000)) {
      memo.set(name, name)
      expect(memo.get('used')).toBe('x')
    }
  })

  it('never brings back what was deleted or replaced', () => {
    const memo = memoOf()
    memo.set('gone', 'old')
    memo.set('replaced', 'old')
    // Until both are in the older generation, and one of them was used again.
    for (const name of namesTo(200)) memo.set(name, name)
    memo.get('gone')
    memo.delete('gone')
    memo.set('replaced', 'new')
    memo.delete('replaced')
    expect(memo.get('gone')).toBeUndefined()
    expect(memo.get('replaced')).toBeUndefined()
  })

  it('keeps long keys by a digest, and tells them apart', () => {
    const memo = memoOf()
    const long = 'u'.repeat(8000)
    const names = namesTo(100, long)
    for (const name of names) memo.set(name, name.slice(-10))
    expect(names.map((name) => memo.get(name))).toEqual(names.map((name) => name.slice(-10)))
    memo.delete(names[3] ?? '')
    expect(memo.get(names[3] ?? '')).toBeUndefined()
    expect(String(shortKey(long)).length).toBeLessThan(80)
    expect(shortKey('short')).toBe('short')
  })

  it('takes no short key for a long one, however it is spelt', () => {
    const long = 'alice'.repeat(1000)
    for (const spelling of spellingsOf(long)) {
      const memo = memoOf()
      memo.set(long, 'long')
      expect(memo.get(spelling), spelling).toBeUndefined()
      memo.set(spelling, 'short')
      expect([memo.get(long), memo.get(spelling)]).toEqual(['long', 'short'])
      memo.delete(spelling)
      expect([memo.get(long), memo.get(spelling)]).toEqual(['long', undefined])
      memo.set(spelling, 'short')
      memo.delete(long)
      expect([memo.get(long), memo.get(spelling)]).toEqual([undefined, 'short'])
    }
  })

  it('takes no short key for a long one after both have become older', () => {
    const long = 'alice'.repeat(1000)
    for (const spelling of spellingsOf(long)) {
      const memo = memoOf()
      memo.set(long, 'long')
      memo.set(spelling, 'short')
      for (const name of namesTo(200)) memo.set(name, name)
      expect([memo.get(spelling), memo.get(long)]).toEqual(['short', 'long'])
    }
  })

  it('tells long keys apart that differ in a lone surrogate', () => {
    const memo = memoOf()
    const keys = ['\ud800', '\ud801', '\ufffd'].map((end) => 'x'.repeat(5000) + end)
    for (const key of keys) memo.set(key, key.slice(-1))
    expect(keys.map((key) => memo.get(key))).toEqual(['\ud800', '\ud801', '\ufffd'])
  })

  it('does not keep one value that would take the place of many', () => {
    const memo = memoOf()
    memo.set('a', 'small')
    memo.set('a', 'x'.repeat(BYTES / 4))
    expect(memo.get('a')).toBeUndefined()
  })

  it('shares its bytes with the other memos of a budget', () => {
    const budget = new MemoBudget(BYTES)
    const [one, other] = [memoOf(budget), memoOf(budget)]
    one.set('idle', 'x')
    one.set('used', 'x')
    for (const name of namesTo(10_000)) {
      other.set(name, name)
      one.get('used')
    }
    expect(one.get('idle')).toBeUndefined()
    expect(one.get('used')).toBe('x')
    one.set('again', 'x')
    for (const name of namesTo(10_000)) other.set(name, name)
    expect(one.get('again')).toBeUndefined()
  })
})

describe('a bounded memo by object', () => {
  setFlagsFromString('--expose-gc')
  const gc = runInNewContext('gc') as () => void

  it('holds no more than its bytes, and keeps what is used', () => {
    const budget = new MemoBudget(BYTES)
    const memo = new BoundedWeakMemo<object, string>(bytesOfText, budget)
    const used = {}
    memo.set(used, 'used')
    const keys = Array.from({ length: 10_000 }, () => ({}))
    for (const key of keys) {
      memo.set(key, 'x'.repeat(100))
      expect(memo.get(used)).toBe('used')
    }
    const held = keys.filter((key) => memo.get(key) !== undefined)
    expect(held.length).toBeGreaterThan(100)
    expect(held.length * 200).toBeLessThan(BYTES)
  })

  it('forgets what it knows of an object that is gone', async () => {
    const memo = new BoundedWeakMemo<object, object>(() => 100, new MemoBudget(BYTES))
    const kept = {}
    memo.set(kept, ['kept'])
    const value = new WeakRef<object>(['gone'])
    memo.set({}, value.deref() ?? [])
    await new Promise((resolve) => setTimeout(resolve))
    gc()
    expect(value.deref()).toBeUndefined()
    expect(memo.get(kept)).toEqual(['kept'])
  })
})
