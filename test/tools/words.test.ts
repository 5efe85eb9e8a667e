import { describe, expect, it } from 'vitest'
import { faultsInNames, faultsInWords, wordsOf } from '../../scripts/words.mjs'

const page = `
| word    | meaning            | not               |
| ------- | ------------------ | ----------------- |
| alias   | a cache's name     |                   |
| timeout | how long, seconds  | TTL, time to live |
`
const words = wordsOf(page)

describe('the table of words', () => {
  it('says which words are not used, and what is said in their place', () => {
    expect([...words]).toEqual([
      ['TTL', 'timeout'],
      ['time to live', 'timeout'],
    ])
  })
})

describe('a page', () => {
  it.each(['its TTL is short', 'with a ttl', 'two TTLs', 'a new time to live.'])(
    'does not say %j',
    (line) => {
      expect(faultsInWords(`first\n${line}\n`, words)).toMatchObject([
        { line: 2, better: 'timeout' },
      ])
    },
  )

  it.each([
    ['code', 'the option `ttl` of others'],
    ['a longer word', 'the battle, the throttle'],
    ['a block of code', '```js\nconst ttl = 1\n```'],
  ])('may have the word as %s', (_, line) => {
    expect(faultsInWords(line, words)).toEqual([])
  })
})

describe('an exported name', () => {
  const exported = (...files: [path: string, ...names: string[]][]) =>
    faultsInNames(
      files.map(([path, ...names]) => ({ path, names })),
      words,
    )

  it.each(['toTtl', 'ttlOf', 'MAX_TTL', 'TtlTable'])('does not say it as %s', (name) => {
    expect(exported(['src/a.ts', name]).join()).toContain('say "timeout", not "TTL"')
  })

  it.each([
    ['src/a.ts', 'src/b/c.ts'],
    ['src/a.ts', 'src/backends/file/b.ts'],
    ['adapters/eta/a.ts', 'src/fragment/b.ts'],
    ['adapters/node/a.ts', 'adapters/express/b.ts', 'adapters/node/c.ts'],
    ['src/backends/redis.ts', 'src/backends/redis/b.ts'],
  ])('stands for one thing in %s and %s', (...paths) => {
    const faults = exported(...paths.map((path): [string, string] => [path, 'Place']))
    expect(faults.join()).toContain('two things with one name')
  })

  it.each([
    ['of two engines', 'adapters/eta/a.ts', 'adapters/nunjucks/a.ts'],
    ['of two stores', 'src/backends/file/a.ts', 'src/backends/redis.ts'],
    ['behind two doors', 'adapters/node/a.ts', 'adapters/express/a.ts'],
  ])('may stand for what is alike in the code %s', (_, path, other) => {
    expect(exported([path, 'Template'], [other, 'Template'])).toEqual([])
  })
})
