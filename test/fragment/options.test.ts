import Handlebars from 'handlebars'
import nunjucks from 'nunjucks'
import { describe, expect, it } from 'vitest'
import { cachePlugin } from '../../adapters/eta/index.js'
import { registerCache as registerHandlebars } from '../../adapters/handlebars/index.js'
import { registerCache as registerNunjucks } from '../../adapters/nunjucks/index.js'
import { createCaches, FragmentCache, LocMemCache, type Caches } from '../../src/index.js'
import { resolveTag, toFragmentCache } from '../../src/fragment/render.js'
import { noteRead } from '../../src/fragment/guard.js'
import { renderTagSync } from './render-tag.js'

const caches = createCaches({ default: new LocMemCache() })

/** The key of a tag with these values. */
function keyOf(fragments: FragmentCache, varyOn: readonly unknown[], digest?: string): string {
  const site = { fragment: 'box', remedy: '' }
  return resolveTag(fragments, site, { timeout: 9, varyOn, digest }).variant.key
}

function isStrict(fragments: FragmentCache): boolean {
  try {
    const body = () => {
      noteRead('user')
      return 'x'
    }
    renderTagSync(
      resolveTag(fragments, { fragment: 'box', remedy: '' }, { timeout: 9, varyOn: [] }),
      body,
    )
    return false
  } catch {
    return true
  }
}

describe('a cache in the place of caches', () => {
  const one = new LocMemCache() as unknown as Caches
  it.each<[string, () => unknown]>([
    ['FragmentCache', () => new FragmentCache(one)],
    ['the tag of Nunjucks', () => registerNunjucks(new nunjucks.Environment(), one)],
    ['the helper of Handlebars', () => registerHandlebars(Handlebars.create(), one)],
    ['the plugin of Eta', () => cachePlugin(one)],
  ])('is refused at once by %s', (_, make) => {
    expect(make).toThrow(TypeError)
    expect(make).toThrow(/^caches: .* is not a set of caches; give the result of createCaches$/)
  })
})

describe('the digest of a template', () => {
  it.each([[[]], [['a']], [['a', 7]]])(
    'is one more text in front of the vary-on values %o',
    (varyOn) => {
      const fragments = new FragmentCache(caches)
      expect(keyOf(fragments, varyOn)).toBe(fragments.makeKey('box', varyOn))
      expect(keyOf(fragments, varyOn, 'abc')).toBe(fragments.makeKey('box', ['abc', ...varyOn]))
    },
  )

  it('lets an entry of another template be, and an invalidation reaches both', async () => {
    const fragments = new FragmentCache(caches)
    const render = (digest: string, text: string) =>
      renderTagSync(
        resolveTag(
          fragments,
          { fragment: 'digested', remedy: '' },
          { timeout: 9, varyOn: ['a'], digest },
        ),
        () => text,
      )
    expect([render('1', 'one'), render('2', 'two'), render('1', 'never')]).toEqual([
      'one',
      'two',
      'one',
    ])
    await fragments.invalidate('digested')
    expect([render('1', 'new'), render('2', 'newer')]).toEqual(['new', 'newer'])
  })
})

describe('what an adapter is given', () => {
  it('may be caches, with options of their own', () => {
    expect(isStrict(toFragmentCache(caches))).toBe(true)
    expect(isStrict(toFragmentCache(caches, { strict: false }))).toBe(false)
    expect(toFragmentCache(caches, { digest: true }).caches).toBe(caches)
  })

  it('may be fragments, whose options it keeps where it is given none', () => {
    const given = new FragmentCache(caches, { strict: false, compat: 'django<6.1' })
    expect(toFragmentCache(given)).toBe(given)
    expect(toFragmentCache(given, { digest: true })).toBe(given)
    const made = toFragmentCache(given, { strict: true })
    expect([isStrict(made), isStrict(given)]).toEqual([true, false])
    expect(made.makeKey('box', ['a:', 'b'])).toBe(given.makeKey('box', ['a:', 'b']))
    expect(made.makeKey('box', ['a:', 'b'])).toBe(given.makeKey('box', ['a', ':b']))
    expect(isStrict(toFragmentCache(given, { bubbleTimeout: true }))).toBe(false)
  })

  it.each<[unknown, RegExp]>([
    [null, /^options: null is not an object; write \{ digest: true \}$/],
    [{ digest: 'yes' }, /^digest: "yes" is neither true nor false$/],
    [{ strict: 1 }, /^strict: 1 is neither/],
    [{ bubbleTimeout: null }, /^bubbleTimeout: null is neither/],
    [
      { stict: true },
      /^options: "stict" is unknown; there are strict, bubbleTimeout, digest, personal; did you mean "strict"\?$/,
    ],
  ])('refuses %o as options', (options, message) => {
    expect(() => toFragmentCache(caches, options as never)).toThrow(TypeError)
    expect(() => toFragmentCache(caches, options as never)).toThrow(message)
  })

  it.each([[{ strict: 'no' }], [{ bubbleTimeout: 1 }]])('refuses %o from code', (options) => {
    expect(() => new FragmentCache(caches, options as never)).toThrow(/is neither true nor false/)
  })
})
