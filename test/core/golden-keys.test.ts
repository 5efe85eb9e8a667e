import { describe, expect, it } from 'vitest'
import { FileBasedCache } from '../../src/backends/file.js'
import {
  DummyCache,
  LocMemCache,
  makeTemplateFragmentKey,
  type KeyFunction,
  type Version,
} from '../../src/index.js'
import { findKeyFaults } from '../../src/keys.js'
import { differences } from '../support/differences.js'
import { readGolden } from '../support/golden.js'

interface KeyCase {
  readonly id: string
  readonly key: string
  readonly prefix: string
  readonly default_version: number
  readonly version: Version | null
  readonly key_function?: string
  readonly made_key: string
  readonly warnings: readonly string[]
}

/** What Django writes into the key as text and we refuse: the list of differences says why. */
const refused: Readonly<Record<string, string>> = {
  ck096: 'Versions and prefixes of other kinds',
  ck097: 'Versions and prefixes of other kinds',
  ck112: 'Versions and prefixes of other kinds',
  ck113: 'Versions and prefixes of other kinds',
  ck100: 'Keys that are no text',
  ck101: 'Keys that are no text',
  ck103: 'Keys that are no text',
}

/** Long in bytes, not in characters. */
const longInBytes: Readonly<Record<string, string>> = { ck019: 'Length of a key' }

const custom: KeyFunction = (key, prefix, version) => `CUSTOM-${prefix}-${version}-${key}`

function settingsOf({ prefix, default_version: version, key_function: named }: KeyCase) {
  return { keyPrefix: prefix, version, ...(named !== undefined && { keyFunction: custom }) }
}

const keyCases = readGolden<KeyCase>('cache_keys.json')

describe('Django’s stored keys', () => {
  const cases = keyCases.filter(({ id }) => refused[id] === undefined)

  it.each(
    cases.map(
      (golden) => [`${golden.id} ${JSON.stringify(golden.made_key.slice(0, 60))}`, golden] as const,
    ),
  )('%s', (_, golden) => {
    const { key, version, made_key: made } = golden
    const settings = settingsOf(golden)
    for (const cache of [
      new LocMemCache(settings),
      new DummyCache(settings),
      new FileBasedCache({ ...settings, location: '/unused' }),
    ]) {
      expect(cache.makeKey(key, version ?? undefined)).toBe(made)
    }
    const faults = longInBytes[golden.id] === undefined ? golden.warnings : ['too_long']
    expect(findKeyFaults(made)).toEqual(faults)
  })

  it.each(
    keyCases
      .filter(({ id }) => refused[id] !== undefined)
      .map((golden) => [golden.id, golden] as const),
  )('%s is refused instead of written as text', (_, golden) => {
    const { key, version } = golden
    expect(() => new LocMemCache(settingsOf(golden)).makeKey(key, version ?? undefined)).toThrow(
      /^(key|version|LocMemCache: (version|keyPrefix)): /,
    )
  })
})

interface FragmentCase {
  readonly id: string
  readonly name: string
  readonly vary_on: unknown
  readonly vary_on_as_text?: readonly string[]
  readonly key?: string
  readonly key_before_6_1?: string
  readonly raises?: { readonly error: string }
}

const fragmentCases = readGolden<FragmentCase>('fragment_keys.json')
const asList = (value: unknown) => value as readonly unknown[] | null

/** Values that Python and JavaScript spell differently. */
const otherText: Readonly<Record<string, string>> = {
  fk123: '["a"]',
  fk126: '["a",1,null,true]',
  fk129: '["both \' and \\""]',
  fk132: '["\\n"]',
  fk133: '["\\\\"]',
  fk134: '[["deep",["er"]]]',
  fk135: '{"a":1}',
  fk137: '{"a":[1,"b"]}',
  fk138: '{"a":2,"b":1}',
  fk171: '["\\ud800"]',
}

describe('Django’s fragment keys', () => {
  const named = fragmentCases.filter(({ key, name }) => key !== undefined && name !== null)

  it.each(
    named.map(
      (golden) => [`${golden.id} ${JSON.stringify(golden.vary_on)?.slice(0, 40)}`, golden] as const,
    ),
  )(
    '%s',
    (
      _,
      { id, name, vary_on: varyOn, vary_on_as_text: texts = [], key, key_before_6_1: older = key },
    ) => {
      const compat = 'django<6.1'
      expect(makeTemplateFragmentKey(name, texts)).toBe(key)
      expect(makeTemplateFragmentKey(name, texts, { compat })).toBe(older)
      const own = otherText[id]
      const expected = own === undefined ? key : makeTemplateFragmentKey(name, [own])
      expect(makeTemplateFragmentKey(name, asList(varyOn))).toBe(expected)
      if (own === undefined) {
        expect(makeTemplateFragmentKey(name, asList(varyOn), { compat })).toBe(older)
      } else {
        // A deviation that is none any more has no place in the list.
        expect(expected).not.toBe(key)
      }
    },
  )

  it.each(
    fragmentCases
      .filter(({ raises }) => raises !== undefined)
      .map((golden) => [golden.id, golden] as const),
  )('%s is a TypeError there and here', (_, { name, vary_on: varyOn, raises }) => {
    expect(raises?.error).toBe('TypeError')
    expect(() => makeTemplateFragmentKey(name, asList(varyOn))).toThrow(TypeError)
  })

  it('refuses the name null instead of writing it as text', () => {
    const golden = fragmentCases.find(({ id }) => id === 'fk177')
    expect(golden?.key).toBe('template.cache.None.d41d8cd98f00b204e9800998ecf8427e')
    expect(() => makeTemplateFragmentKey(null as never)).toThrow(/^name: null/)
  })

  it('covers every case', () => {
    const raising = fragmentCases.filter(({ raises }) => raises !== undefined)
    expect(named.length + raising.length + 1).toBe(fragmentCases.length)
  })
})

describe('the cases that end otherwise', () => {
  it('are in the list of differences', () => {
    const names = differences().map(({ what }) => what)
    for (const what of [...Object.values(refused), ...Object.values(longInBytes)]) {
      expect(names).toContain(what)
    }
    expect(names).toContain('Lists and objects as vary-on values')
    expect(names).toContain('Fragment names that are no text')
  })
})
