import { readFileSync } from 'node:fs'
import { describe, expect, it } from 'vitest'
import { absoluteUri, headerListKey, isKeyPart, pageKey } from '../../src/http/page-key.js'
import { djangoHeaderName, parseVary, toHeaderList } from '../../src/http/vary.js'

interface Case {
  id: string
  method: string
  vary: string | null
  key_prefix: string | null
  settings_key_prefix: string
  use_i18n: boolean
  use_tz: boolean
  active_language: string | null
  request_language_code: string | null
  current_zone: string | null
  absolute_uri: string
  request_headers: Record<string, string>
  header_list_key: string
  header_list: string[]
  page_key: string
}

const { cases } = JSON.parse(
  readFileSync(new URL('../../fixtures/django/page_keys.json', import.meta.url), 'utf8'),
) as { cases: Case[] }

/** What `language` and `timeZone` say in such a project. */
function suffixOf(golden: Case): { language?: string; timeZone?: string } {
  // What LocaleMiddleware found wins over the active language, that over settings.LANGUAGE_CODE.
  const language = golden.request_language_code ?? golden.active_language ?? 'en-us'
  const zone = golden.current_zone ?? ''
  const timeZone = zone.startsWith('fixed:') ? zone.slice('fixed:'.length).replace(':', '') : zone
  return { ...(golden.use_i18n && { language }), ...(golden.use_tz && { timeZone }) }
}

describe('page keys', () => {
  it('has the golden cases', () => {
    expect(cases).toHaveLength(104)
  })

  it.each(cases)("$id is Django's to the byte", (golden) => {
    const address = {
      keyPrefix: golden.key_prefix ?? golden.settings_key_prefix,
      uri: golden.absolute_uri,
      ...suffixOf(golden),
    }
    const headers = Object.fromEntries(
      Object.entries(golden.request_headers).map(([name, value]) => [name.toLowerCase(), value]),
    )
    const headerList = toHeaderList(parseVary(golden.vary ?? undefined).names, golden.use_i18n)
    // A key is made for "*" too, though nothing is ever stored under it.
    const starred = (parseVary(golden.vary ?? undefined).any ? ['*'] : []).concat(headerList)
    expect(starred.map(djangoHeaderName)).toEqual(golden.header_list)
    expect(headerListKey(address)).toBe(golden.header_list_key)
    expect(pageKey(address, golden.method, starred, headers)).toBe(golden.page_key)
  })
})

describe('what tells two requests apart', () => {
  const address = { keyPrefix: '', uri: 'http://a.test/' }
  const key = (list: string[], headers: Record<string, string>) =>
    pageKey(address, 'GET', list, headers)

  it('an absent header from an empty one', () => {
    expect(key(['x-a'], {})).not.toBe(key(['x-a'], { 'x-a': '' }))
  })

  it('values whose lengths differ but whose concatenation is the same', () => {
    const list = ['x-a', 'x-b']
    expect(key(list, { 'x-a': '1', 'x-b': '23' })).not.toBe(key(list, { 'x-a': '12', 'x-b': '3' }))
    expect(key(list, { 'x-a': '-,' })).not.toBe(key(list, {}))
  })

  it('not what every object inherits', () => {
    expect(key(['constructor', '__proto__', 'tostring'], {})).toBe(key(['x', 'y', 'z'], {}))
  })

  it('header lines that are joined, by their bytes and not their characters', () => {
    expect(key(['x'], { x: 'é' })).not.toBe(key(['x'], { x: 'e\u0301' }))
  })
})

describe('the absolute URI', () => {
  it.each([
    ['http', 'a.test', '/p', 'http://a.test/p'],
    ['https', 'a.test:8443', '/p?q=1&q=2', 'https://a.test:8443/p?q=1&q=2'],
    ['http', '[::1]:80', '//x', 'http://[::1]:80//x'],
    ['http', 'my_service', '/%2e%2e/%2F;x', 'http://my_service/%2e%2e/%2F;x'],
    ['http', 'A.Test', '/P', 'http://A.Test/P'],
  ])('%s, %s, %s as sent', (protocol, host, target, uri) => {
    expect(absoluteUri(protocol, host, target)).toBe(uri)
  })

  it.each([
    ['http', undefined, '/p'],
    ['http', '', '/p'],
    ['http', 'a.test/x?', '/p'],
    ['http', 'a.test?', '/p'],
    ['http', 'a.test#', '/p'],
    ['http', 'user@a.test', '/p'],
    ['http', 'a.test:', '/p'],
    ['http', 'a.test:80a', '/p'],
    ['http', 'a.test, b.test', '/p'],
    ['http', 'a test', '/p'],
    ['http', 'a.test\n', '/p'],
    ['http', 'ä.test', '/p'],
    ['javascript', 'a.test', '/p'],
    ['HTTPS', 'a.test', '/p'],
    ['http', 'a.test', 'http://b.test/p'],
    ['http', 'a.test', '*'],
    ['http', 'a.test', ''],
  ])('is unknown for %s, %s, %s', (protocol, host, target) => {
    expect(absoluteUri(protocol, host, target)).toBeUndefined()
  })
})

describe('a language or time zone', () => {
  it.each(['de', 'zh-hans', 'en_GB', 'Europe/Berlin', 'Etc/GMT+1', '-0100', '+05:30', 'de@euro'])(
    '%s can be part of a key',
    (text) => expect(isKeyPart(text)).toBe(true),
  )

  it.each(['', 'de.fr', 'de fr', 'de\n', 'x'.repeat(65), 'é', 7, null, ['de']])(
    '%j cannot',
    (text) => expect(isKeyPart(text)).toBe(false),
  )
})
