import { createCaches, LocMemCache } from 'fragcache'
import { registerCache } from 'fragcache/handlebars'
import Handlebars from 'handlebars'
import { describe, expect, it } from 'vitest'

function faultOf(source: string): unknown {
  const handlebars = Handlebars.create()
  registerCache(handlebars, createCaches({ default: new LocMemCache() }))
  try {
    handlebars.compile(source)({})
  } catch (error) {
    return error
  }
  throw new Error('no fault')
}

describe('what the parser cannot make sense of, in the words of the other engines', () => {
  it.each([
    ['a\n{{#cache 9 "x"}}y', 2, /the \{\{\/cache\}\} is missing/],
    ['{{#if a}}\n{{#cache 9 "x"}}y{{/if}}', 2, /\{\{\/if\}\} is where \{\{\/cache\}\} has to be/],
    ['a\nx{{/cache}}', 2, /this \{\{\/cache\}\} has no cache tag before it/],
    ['{{#cache 9 "x"}}y{{/cachee}}', 1, /\{\{\/cachee\}\} is where \{\{\/cache\}\} has to be/],
    ['{{#cache 9 "x" a == 5}}y{{/cache}}', 1, /the operator "==" is between arguments/],
  ])('%j', (source, line, message) => {
    const fault = faultOf(source)
    expect(fault).toMatchObject({ code: 'FRAGCACHE_TAG', line })
    expect((fault as Error).message).toMatch(message)
  })

  it.each(['(', '[', '"', "'", ' ', '\\"', 'a=', '('.repeat(9) + '\n'])(
    'is found in a tag with 50,000 times %j',
    (inner) => {
      const source = `\n{{#cache 9 "x" ${inner.repeat(50_000)} }}y{{/cachee}}`
      expect(faultOf(source)).toBeInstanceOf(Error)
    },
  )

  it('is found behind 50,000 other tags, with its line', () => {
    const tag = '{{#cache 9 "x"}}y{{/cache}}\n'
    const fault = faultOf(`${tag.repeat(50_000)}{{#cache 9 "x" a ==}}{{/cache}}`)
    expect(fault).toMatchObject({ code: 'FRAGCACHE_TAG', line: 50_001 })
  })

  it('leaves errors outside of cache tags to the engine', () => {
    expect(faultOf('{{#if a}}y')).not.toHaveProperty('code')
    expect(faultOf('{{#cache 9 "x"}}{{a b=}}{{/cache}}')).not.toHaveProperty('code')
  })
})
