import { mkdirSync, writeFileSync } from 'node:fs'
import { dirname, join } from 'node:path'
import { describe, expect, it } from 'vitest'
import ts from 'typescript'
import {
  commentsIn,
  faultsIn,
  faultsInNames,
  faultsInWords,
  messagesIn,
  phrasesOf,
  wordsOf,
} from '../../scripts/words.mjs'
import { folderOfTest } from '../support/folders.js'

const page = `
| word    | meaning            | not               |
| ------- | ------------------ | ----------------- |
| alias   | a cache's name     |                   |
| timeout | how long, seconds  | TTL, time to live |

## Phrases

| say      | for example | not     |
| -------- | ----------- | ------- |
| as usual | as usual    | as ever |
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

describe('the table of phrases', () => {
  it('adds what pages, messages and comments do not say', () => {
    expect([...phrasesOf(page)]).toEqual([...words, ['as ever', 'as usual']])
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

  it.each(['a time\nto live', '- a time\n  to live', '> a time\n> to live'])(
    'does not say it across two lines: %j',
    (text) => {
      expect(faultsInWords(`first\n${text}\n`, words)).toMatchObject([
        { line: 2, better: 'timeout' },
      ])
    },
  )

  it('is told each place', () => {
    const places = faultsInWords('a TTL, a time\nto live, and a TTL', words)
    expect(places.map(({ line, word }) => `${line} ${word}`)).toEqual([
      '1 TTL',
      '1 time to live',
      '2 TTL',
    ])
  })

  it.each([
    ['with code between its words', 'the time `x` to live'],
    ['code', 'the option `ttl` of others'],
    ['a longer word', 'the battle, the throttle'],
    ['a block of code', '```js\nconst ttl = 1\n```'],
  ])('may have the word as %s', (_, line) => {
    expect(faultsInWords(line, words)).toEqual([])
  })
})

describe('a comment', () => {
  const faultsIn = (source: string) =>
    faultsInWords(
      commentsIn(ts.createSourceFile('a.ts', source, ts.ScriptTarget.Latest, true)),
      words,
    )

  it.each([
    ['before a statement', 'first()\n/** Its TTL. */\nconst a = 1', 2],
    ['before a member', 'class A {\n  /** Its TTL. */\n  b = 1\n}', 2],
    ['of several lines', '/**\n * One.\n * Its TTL.\n */\nconst a = 1', 3],
    ['across two lines', '/**\n * Its time\n * to live.\n */\nconst a = 1', 2],
    ['across two comments', '// Its time\n// to live.\nconst a = 1', 1],
    ['behind code', 'const a = 1 // its TTL\n', 1],
    ['at the end of a block', 'function a() {\n  b()\n  // its TTL\n}', 3],
    ['at the end of the file', 'a()\n// its TTL', 2],
  ])('does not say it %s', (_, source, line) => {
    expect(faultsIn(source)).toMatchObject([{ line, better: 'timeout' }])
  })

  it.each([
    'const ttl = 1',
    "say('the TTL')",
    'say(`the TTL ${of} it`)',
    '/** `ttl` of others */ a()',
  ])('is not what stands in %s', (source) => {
    expect(faultsIn(source)).toEqual([])
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

describe('a message', () => {
  const faultsIn = (source: string) =>
    faultsInWords(
      messagesIn(ts.createSourceFile('a.ts', source, ts.ScriptTarget.Latest, true)),
      words,
    )

  it.each([
    "throw new Error('give it a TTL in seconds')",
    'throw new Error(`give ${name} a TTL in seconds`)',
  ])('does not say it: %s', (source) => {
    expect(faultsIn(source)).toMatchObject([{ line: 1, better: 'timeout' }])
  })

  it.each(["const name = 'ttl'", "const part = '; ttl='", "say('give the option `ttl` a value')"])(
    'may have it as a name: %s',
    (source) => {
      expect(faultsIn(source)).toEqual([])
    },
  )
})

describe('a project', () => {
  it('has its pages, messages and comments judged by the phrases too, entries of the changelog and names not', () => {
    const root = folderOfTest()
    for (const [path, text] of Object.entries({
      'docs/words.md': page,
      'docs/page.md': 'It works as ever.',
      'README.md': 'As usual.',
      'CONTRIBUTING.md': 'As usual.',
      'SECURITY.md': 'As usual.',
      'CHANGELOG.md': 'It works as ever.\nIts TTL is short.',
      'src/a.ts': "/** Runs as ever. */\nexport const asEver = 'it runs as ever here'\n",
      'adapters/page/client/b.js': "say('This one runs as ever.')\n",
    })) {
      mkdirSync(dirname(join(root, path)), { recursive: true })
      writeFileSync(join(root, path), text)
    }
    expect(faultsIn(root).sort()).toEqual([
      'CHANGELOG.md:2: say "timeout", not "TTL" (docs/words.md)',
      'adapters/page/client/b.js:1: say "as usual", not "as ever" (docs/words.md)',
      'docs/page.md:1: say "as usual", not "as ever" (docs/words.md)',
      'src/a.ts:1: say "as usual", not "as ever" (docs/words.md)',
      'src/a.ts:2: say "as usual", not "as ever" (docs/words.md)',
    ])
  })
})
