import { describe, expect, it } from 'vitest'
import { messageOfError, textOfError } from '../../src/error-text.js'
import { createCaches } from '../../src/index.js'
import { AsyncTestCache } from '../support/async-cache.js'

/** What nobody should throw, and somebody does. */
const unspeakable: readonly (readonly [name: string, thrown: unknown])[] = [
  ['an object without a prototype', Object.create(null)],
  ['an object whose toString throws', { toString: () => unspoken() }],
  [
    'an error whose message throws',
    Object.defineProperty(new Error('x'), 'message', { get: () => unspoken() }),
  ],
]

function unspoken(): never {
  throw new Error('no')
}

describe('what an error says', () => {
  it('is its name and message, or its message', () => {
    expect(textOfError(new TypeError('boom'))).toBe('TypeError: boom')
    expect(messageOfError(new TypeError('boom'))).toBe('boom')
    for (const thrown of ['boom', undefined, null, 7, Symbol('boom')]) {
      expect(textOfError(thrown)).toBe(String(thrown))
      expect(messageOfError(thrown)).toBe(String(thrown))
    }
  })

  it('is a text though its message is none', () => {
    const error = Object.assign(new Error('x'), { message: { status: 500 } })
    expect(messageOfError(error)).toBe('Error: [object Object]')
    const empty = Object.assign(new Error('x'), { message: undefined })
    expect(messageOfError(empty)).toBe('Error')
  })

  it.each(unspeakable)('is told of %s without throwing', (_, thrown) => {
    expect(textOfError(thrown)).toBe('an error without a text')
    expect(messageOfError(thrown)).toBe('an error without a text')
  })

  it.each(unspeakable)('figures of a store that throws %s are none', async (_, thrown) => {
    class Odd extends AsyncTestCache {
      readServerStats(): never {
        throw thrown
      }
    }
    const stats = await createCaches({ default: new Odd() }).serverStats()
    expect(stats['default']).toEqual({
      backend: 'Odd',
      error: 'Odd: serverStats failed: an error without a text',
    })
  })
})
