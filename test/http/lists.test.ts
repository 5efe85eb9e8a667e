import { describe, expect, it } from 'vitest'
import { trimWhitespace } from '../../src/http/header-values.js'
import { listMembers, splitQuotedList } from '../../src/http/lists.js'
import { fc } from '../support/random.js'

const blanks = fc.array(fc.constantFrom(' ', '\t')).map((parts) => parts.join(''))
const token = fc.stringMatching(/^[!#$%&'*+\-.^_`|~0-9A-Za-z=]+$/)
/** RFC 9110 §5.6.4, from its parts. */
const quotedString = fc
  .array(fc.constantFrom('a', ' ', ',', '\t', '=', '\\"', '\\\\', '\\,', 'é'))
  .map((parts) => `"${parts.join('')}"`)

/** A member, and how it may stand in a list. */
const written = (member: fc.Arbitrary<string>) =>
  fc.array(fc.tuple(blanks, fc.oneof({ weight: 4, arbitrary: member }, fc.constant('')), blanks))

const textOf = (parts: readonly (readonly string[])[]) =>
  parts.map((part) => part.join('')).join(',')
const membersOf = (parts: readonly (readonly string[])[]) =>
  parts.map(([, member = '']) => member).filter((member) => member !== '')

describe('lists as RFC 9110 §5.6.1 writes them', () => {
  it('come apart into their members, whatever blanks and empty members are between them', () => {
    fc.assert(
      fc.property(written(token), (parts) => {
        expect(listMembers(textOf(parts))).toEqual(membersOf(parts))
        expect(listMembers([textOf(parts), textOf(parts)])).toEqual([
          ...membersOf(parts),
          ...membersOf(parts),
        ])
      }),
    )
  })

  it('come apart outside of quoted strings alone, where there may be some', () => {
    const both = fc.tuple(token, quotedString).map((parts) => parts.join(''))
    fc.assert(
      fc.property(written(fc.oneof(token, quotedString, both)), (parts) => {
        expect(splitQuotedList(textOf(parts))).toEqual({
          members: membersOf(parts),
          openQuote: false,
        })
      }),
    )
  })

  it.each([
    ['a, b="c, d', ['a', 'b="c, d'], true],
    ['a="\\', ['a="\\'], true],
    ['a="b\\", c', ['a="b\\", c'], true],
    ['a\\", b"', ['a\\", b"'], false],
    ['"', ['"'], true],
    ['', [], false],
    [' ,\t,', [], false],
  ])('%j is %j, with an open quote: %s', (line, members, openQuote) => {
    expect(splitQuotedList(line)).toEqual({ members, openQuote })
  })
})

describe('blanks at the ends', () => {
  it('are spaces and tabs, and nothing else goes', () => {
    const core = fc
      .array(fc.constantFrom('a', ' ', '\t', '\u00a0', '\n', ','))
      .map((parts) => parts.join(''))
      .filter((text) => /^(?![ \t])[^]*(?<![ \t])$/.test(text))
    fc.assert(
      fc.property(blanks, core, blanks, (before, text, after) => {
        expect(trimWhitespace(before + text + after)).toBe(text)
      }),
    )
  })
})
