import { createCaches, FragmentCache, LocMemCache } from 'fragcache'
import { describe, expect, it } from 'vitest'
import { locate } from '../../adapters/inspector/overlay/locate.js'
import { allowing, hashSource, permitOf } from '../../adapters/inspector/overlay/policy.js'
import type { PutOut } from '../../adapters/inspector/overlay/put-out.js'
import { MAX_NOTED, recordIn, RequestRecord } from '../../adapters/inspector/overlay/record.js'
import { isOpen, scanHtml } from '../../adapters/inspector/overlay/scan.js'
import { Placeholders } from '../../src/fragment/placeholder.js'

/** The places of `|` in a text without them, and whether a comment may stand there. */
function openings(marked: string): boolean[] {
  const scan = scanHtml(marked.replaceAll('|', ''))
  const at = [...marked.matchAll(/\|/g)].map(({ index }, before) => index - before)
  return at.map((position) => isOpen(scan, position))
}

describe('where an HTML text has room for a comment', () => {
  it.each([
    ['|<p>|text|</p>|', [true, true, true, true]],
    ['<p| class="a>b|">|x', [false, false, true]],
    ["<p title='<b>|'>|", [false, true]],
    ['<p a=b>|<p =a>|', [true, true]],
    ['<!-- <p>| -->|', [false, true]],
    ['<!-->|<b>|', [true, true]],
    ['<!--->|', [true]],
    ['<!-- a --!>|', [true]],
    ['<!doctype html|>|', [false, true]],
    ['<script>if (a < b) "|"</script|>|', [false, false, true]],
    ['<script><!-- <script> </script>| --></script>|', [false, true]],
    ['<style>a > b {|}</style>|', [false, true]],
    ['<title>|</title>|<textarea>|</textarea>|', [false, true, false, true]],
    ['<TITLE>|</Title >|', [false, true]],
    ['<noscript><p>|</p></noscript>|', [false, true]],
    ['<table>|<tr>|<td>|</td></tr></table>', [true, true, true]],
    ['<svg><title/>|<text>|</text></svg>|', [true, true, true]],
    ['<svg><![CDATA[ <b>| ]]>|</svg>', [false, true]],
    [
      '|<template>|<p>|</p>|<template>|</template>|</template>|',
      [true, ...Array<false>(5).fill(false), true],
    ],
    ['<svg><template>|</template>|</svg>|', [true, true, true]],
    ['<p>|<template>|<p>', [true, false]],
    ['a < b| && c > d|', [true, true]],
    ['<?php | ?>|', [false, true]],
    ['</ |>|', [false, true]],
  ])('reads %s', (marked, expected) => {
    expect(openings(marked)).toEqual(expected)
  })

  it.each(['<p>text<script>', '<p>text<!-- ', '<p>text<p title="', '<p>text<plaintext></body>'])(
    'finds no end in %s',
    (html) => {
      expect(scanHtml(html).end).toBe(undefined)
    },
  )

  it.each([
    ['<html><body><p>a</p>|</body></html>'],
    ['<p>a</p>|'],
    ['<body><script>"</body>"</script>|</body>'],
    ['<body><!-- </body> -->|</BODY>\n'],
    ['<html><p>a|</html>'],
  ])('adds its scripts at the mark in %s', (marked) => {
    expect(scanHtml(marked.replace('|', '')).end).toBe(marked.indexOf('|'))
  })
})

let seen = 0

function fragment(text: string, inner: readonly PutOut[] = []): PutOut {
  const variant = { key: `key${seen}`, storedKey: `key${seen++}`, version: undefined }
  return { fragment: { variant }, text, inner, tags: [] } as unknown as PutOut
}

/** The fragments of a page in its order: their places, `?` where another could be meant. */
function found(html: string, ...outer: PutOut[]): string[] {
  return locate(html, scanHtml(html), outer).map(({ place, isSure }) =>
    typeof place === 'string'
      ? place
      : `${place.start}-${html.slice(place.start, place.end)}${isSure ? '' : '?'}`,
  )
}

describe('where fragments are found in a page', () => {
  it('finds each by its text, the outer before the inner', () => {
    const menu = fragment('<ul><li>a</li></ul>', [fragment('<li>a</li>')])
    expect(found('<p>x</p><ul><li>a</li></ul>', fragment('x'), menu)).toEqual([
      '3-x',
      '8-<ul><li>a</li></ul>',
      '12-<li>a</li>',
    ])
  })

  it('tells fragments with one text apart by their order', () => {
    expect(found('<b>1</b><b>1</b>', fragment('1'), fragment('1'))).toEqual(['3-1', '11-1'])
  })

  it('takes the place between its neighbours', () => {
    const html = '<i>1</i><b>a</b><i>1</i><b>b</b><i>1</i>'
    expect(found(html, fragment('a'), fragment('1'), fragment('b'))).toEqual([
      '11-a',
      '19-1',
      '27-b',
    ])
  })

  it('says where another place could be meant', () => {
    expect(found('<i>1</i><i>1</i>', fragment('1'))).toEqual(['3-1?'])
    expect(found('<i>2021</i>', fragment('20'))).toEqual(['3-20?'])
  })

  it('leaves to an inner fragment what is its own', () => {
    const outer = fragment('<ul>1</ul>', [fragment('1')])
    expect(found('<ul>1</ul><b>1</b>', outer, fragment('1'))).toEqual([
      '0-<ul>1</ul>',
      '4-1',
      '13-1',
    ])
  })

  it('does not take a heading for the title before it', () => {
    const html = '<title>Atlas</title><h1>Atlas</h1><p>a</p>'
    expect(found(html, fragment('Atlas'), fragment('a'))).toEqual(['37-a', 'closed'])
  })

  it('finds what was indented, or pressed together', () => {
    expect(found('<ul>\n    <li>\n    a</li></ul>', fragment('<li>\na</li>\n'))).toEqual([
      '9-<li>\n    a</li>',
    ])
    expect(found('<ul><li>a</li></ul>', fragment('<ul>\n  <li>a</li>\n</ul>'))).toEqual([
      '0-<ul><li>a</li></ul>',
    ])
  })

  it('finds what something was put into since', () => {
    const hole = new Placeholders({}, 'hOlE').make()
    expect(found('<p>Hello Ann!</p>', fragment(`<p>Hello${hole}!</p>`))).toEqual([
      '0-<p>Hello Ann!</p>',
    ])
  })

  it('says why one has no place', () => {
    const html = '<p class="a">x</p>'
    expect(found(html, fragment(' \n'), fragment('a'), fragment('y'))).toEqual([
      'empty',
      'closed',
      'changed',
    ])
  })

  it('gives up after a bounded number of fragments', () => {
    const many = Array.from({ length: 3_000 }, () => fragment('<i>a</i>'))
    expect(found('<i>a</i>'.repeat(3_000), ...many)).toHaveLength(2_000)
  })
})

describe('how the script runs under a content security policy', () => {
  const hash = hashSource('script')

  it.each([
    ["script-src 'self' 'nonce-abc'", 'abc', true],
    ["default-src 'none'; script-src-elem 'nonce-x=='", 'x==', true],
    ["script-src 'unsafe-inline'", undefined, true],
    ["script-src 'unsafe-inline' 'nonce-abc'", 'abc', true],
    ["script-src 'self'", undefined, false],
    ["script-src 'unsafe-inline' 'sha256-xyz'", undefined, false],
    ["default-src 'none'", undefined, false],
    ["style-src 'self'", undefined, true],
    [`script-src ${hash}`, undefined, true],
    ["script-src 'nonce-a', script-src 'nonce-b'", 'a', false],
  ])('%s', (policy, nonce, isAllowed) => {
    expect(permitOf([policy], hash)).toEqual({ nonce, isAllowed })
  })

  it.each([
    [
      "default-src 'none'; img-src *",
      `default-src 'none'; img-src *; script-src ${hash}; connect-src 'self'`,
    ],
    ["script-src 'self'; default-src *", `script-src 'self' ${hash}; default-src *`],
    [
      "script-src 'self', default-src 'self';",
      `script-src 'self' ${hash}, default-src 'self'; script-src 'self' ${hash}`,
    ],
    [
      "script-src 'nonce-abc'; connect-src https://api.example",
      "script-src 'nonce-abc'; connect-src https://api.example 'self'",
    ],
    ["script-src 'unsafe-inline'", "script-src 'unsafe-inline'"],
    ["script-src 'nonce-abc'", "script-src 'nonce-abc'"],
    ["img-src 'self'", "img-src 'self'"],
  ])('allows it, and to ask the site, in %s', (policy, expected) => {
    expect(allowing(policy, 'abc', hash)).toBe(expected)
    expect(permitOf([allowing(policy, 'abc', hash)], hash).isAllowed).toBe(true)
  })
})

it('scripts and policies of a template are those of no page', () => {
  const policy = `<meta http-equiv="content-security-policy" content="script-src 'none'">`
  const html = `<body><template><body>${policy}</body></template><p>a</p></body>`
  expect(scanHtml(html)).toMatchObject({ end: html.lastIndexOf('</body>'), policies: [] })
})

it('what a request began and that goes on without end is noted in bounded memory', () => {
  const fragments = new FragmentCache(createCaches({ default: new LocMemCache() }))
  const record = new RequestRecord()
  const failing = () => {
    throw new Error('boom')
  }
  recordIn(record, () => {
    for (let i = 0; i < MAX_NOTED + 100; i++) {
      fragments.renderSync({ name: 'tick' }, () => 'text')
      expect(() => fragments.renderSync({ name: 'faulty' }, failing)).toThrow('boom')
    }
  })
  expect(record.outer).toHaveLength(MAX_NOTED)
  expect(record.failed.length).toBeLessThanOrEqual(MAX_NOTED)
})
