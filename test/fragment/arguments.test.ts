import { describe, expect, it } from 'vitest'
import { CacheTagError } from '../../src/errors.js'
import { parseTagArguments, type ArgumentSyntax } from '../../src/fragment/arguments.js'

const django: ArgumentSyntax = {
  quotes: '"\'',
  filterBar: true,
  operatorWords: ['and', 'or', 'not', 'in', 'is', 'if', 'else'],
  comments: false,
}
const script: ArgumentSyntax = {
  quotes: '"\'`',
  filterBar: false,
  operatorWords: ['in', 'instanceof', 'typeof', 'await', 'new', 'void', 'delete'],
  comments: true,
}

function parse(source: string, dialect = django) {
  const { timeout, name, varyOn, keywords } = parseTagArguments(source, dialect)
  return [
    timeout.text,
    name,
    varyOn.map(({ text }) => text),
    Object.fromEntries([...keywords].map(([key, { text }]) => [key, text])),
  ]
}

describe('arguments separated by white space', () => {
  it.each([
    ['500 sidebar', ['500', 'sidebar', [], {}]],
    ['  500\n\tsidebar  user.name  ', ['500', 'sidebar', ['user.name'], {}]],
    ['500 sidebar a -b', ['500', 'sidebar', ['a', '-b'], {}]],
    ['500 sidebar user (x)', ['500', 'sidebar', ['user', '(x)'], {}]],
    ['500 sidebar a [1]', ['500', 'sidebar', ['a', '[1]'], {}]],
    ['500 my-frag', ['500', 'my-frag', [], {}]],
    ['500 if a', ['500', 'if', ['a'], {}]],
    ['500 "my \\"side\\" bar" a', ['500', 'my "side" bar', ['a'], {}]],
    ['500 frag|upper a', ['500', 'frag|upper', ['a'], {}]],
    ['ttl|default(60) n name | upper x', ['ttl|default(60)', 'n', ['name | upper', 'x'], {}]],
    ['9 n a| upper b |lower', ['9', 'n', ['a| upper', 'b |lower'], {}]],
    ['9 n "a %} b" \'c d\'', ['9', 'n', ['"a %} b"', "'c d'"], {}]],
    ['9 n (a if f else b)', ['9', 'n', ['(a if f else b)'], {}]],
    [
      '9 n u using="local" tags=["a b", c]',
      ['9', 'n', ['u'], { using: '"local"', tags: '["a b", c]' }],
    ],
    ['9 n if=a==b', ['9', 'n', [], { if: 'a==b' }]],
  ])('%s', (source, expected) => {
    expect(parse(source)).toEqual(expected)
  })

  it('understands template literals, arrow functions and comments of JavaScript', () => {
    const source = '9 n `t${ {a: "}"}.a } b` it.xs.map(x => x + 1).join("") /* c, d */ {k: 1}.k'
    expect(parse(source, script)).toEqual([
      '9',
      'n',
      ['`t${ {a: "}"}.a } b`', 'it.xs.map(x => x + 1).join("")', '{k: 1}.k'],
      {},
    ])
  })
})

describe('arguments separated by commas', () => {
  it.each([
    [
      '500, "my side bar", a - b, using="local"',
      ['500', 'my side bar', ['a - b'], { using: '"local"' }],
    ],
    ['500, n, f(a, b), using = "x"', ['500', 'n', ['f(a, b)'], { using: '"x"' }]],
    [
      '60 * 5, n, a is defined, not b, a ? b : c, f (x), xs [0], o .p, a | join (";"), -a, a -b',
      [
        '60 * 5',
        'n',
        [
          ...['a is defined', 'not b', 'a ? b : c', 'f (x)', 'xs [0]', 'o .p'],
          ...['a | join (";")', '-a', 'a -b'],
        ],
        {},
      ],
    ],
  ])('%s', (source, expected) => {
    expect(parse(source)).toEqual(expected)
  })
})

it('a bar binds over any number of blanks', () => {
  const blanks = ' '.repeat(100_000)
  const bound = `a${blanks}|${blanks}upper`
  expect(parse(`9 n ${bound}${blanks}b${blanks}`)).toEqual(['9', 'n', [bound, 'b'], {}])
})

describe('faults', () => {
  it.each([
    ['', /timeout and a fragment name/],
    ['500', /timeout and a fragment name/],
    ['500 using="x"', /timeout and a fragment name/],
    ['500 ""', /fragment name is ""/],
    ['50.9 n', /timeout is 50\.9/],
    ['"abc" n', /timeout is "abc"/],
    ['9 n a + b', /"\+".*parentheses/],
    ['9 n a+ b', /"a\+".*parentheses/],
    ['9 n not a', /"not".*parentheses/],
    ['9 n a == b', /"==".*parentheses/],
    ['9 n using = "x"', /"=".*parentheses/],
    ['9 n using=', /"using" has no value/],
    ['9 n using="a" using="b"', /"using" is given twice/],
    ['9 n using="a" u', /"u" comes after a keyword/],
    ['9 n colour="a"', /unknown keyword "colour".*using, tags, version, if/],
    ['9 n lock=', /"lock" has no value/],
    ['9, n, , a', /nothing between two commas/],
    ['9, n,', /nothing between two commas/],
    ['9, n a', /a comma is missing in "n a"; separate all arguments by commas, or all by spaces/],
    ['9 n, a', /a comma is missing in "9 n"/],
    ['9, n, a b.c', /a comma is missing in "a b\.c"/],
    ['9, n, using="x" tags="y"', /a comma is missing/],
    ['9 n "abc', /text that begins with " is not closed/],
    ['9 n (a', /bracket \( is not closed/],
    ['9 n a)', /not closed/],
  ])('%s', (source, message) => {
    expect(() => parse(source)).toThrow(CacheTagError)
    expect(() => parse(source)).toThrow(message)
  })

  it('names template, line and fragment', () => {
    const position = { template: 'page.html', line: 7 }
    expect(() => parseTagArguments('9 n colour=1', django, position)).toThrow(
      'cache tag (page.html, line 7, fragment "n"): unknown keyword "colour"',
    )
  })
})
