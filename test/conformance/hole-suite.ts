import { describe, expect, it } from 'vitest'
import {
  createCaches,
  FragmentCache,
  LocMemCache,
  type Cache,
  type Caches,
  type HoleRenderer,
} from '../../src/index.js'
import { AsyncTestCache } from '../support/async-cache.js'

type Templates = Readonly<Record<string, string>>
type Context = Readonly<Record<string, unknown>>

/** An engine with its templates, of which `main` is the page's. */
export interface HoleSite {
  render(template: string, context: Context): Promise<string>
  holes(context: Context): HoleRenderer
}

/** How an engine spells what the rule of nocache blocks speaks of. */
export interface HoleSyntax {
  readonly engine: string
  /** Shows a name of the page's context, or one that a block names. */
  show(name: string): string
  /** Does something for each element of the list `items` of the context, as a variable `item`. */
  each(body: string): string
  /** That variable, and the name that a block uses in its place. */
  readonly item: { readonly expression: string; readonly name: string }
  /** Puts that variable's property `id` out. */
  readonly itemId: string
  /** An expression of it. */
  readonly itemIdExpression: string
  /** Puts that variable itself out, as its own name. */
  readonly ownName: string
  /** What the message says of it. */
  readonly ownExample: string
  cache(arguments_: string, body: string): string
  /** @param values - As the tag's arguments. */
  hole(values: string, body: string): string
  include(template: string): string
  /** Each template is known by its name. */
  makeSite(caches: Caches | undefined, templates: Templates): HoleSite
}

const BACKENDS: readonly (readonly [name: string, make: () => Cache])[] = [
  ['a cache that answers at once', () => new LocMemCache()],
  ['a cache that answers by promise', () => new AsyncTestCache()],
]

class Point {
  x = 1
}

/** Tests that a nocache block sees the page's context and what it names, and nothing else. */
export function testHoleRule(syntax: HoleSyntax): void {
  const { show, each, cache, hole, include, item } = syntax

  describe.each(BACKENDS)(`a nocache block of ${syntax.engine} over %s`, (_, make) => {
    const siteOf = (templates: Templates) =>
      syntax.makeSite(createCaches({ default: make() }), templates)

    /** What each visitor is shown, the first of them on a miss. */
    async function visit(templates: Templates, contexts: readonly Context[]): Promise<string[]> {
      const site = siteOf(templates)
      const texts: string[] = []
      for (const context of contexts) texts.push(await site.render('main', context))
      return texts
    }

    it('sees the context of each visitor', async () => {
      const main = cache('60 "a"', `(${hole('', show('user'))})`)
      expect(await visit({ main }, [{ user: 'ann' }, { user: 'bob' }])).toEqual(['(ann)', '(bob)'])
    })

    it('sees what it names as it was when the fragment was made', async () => {
      const body = each(`${hole(`id=${syntax.itemIdExpression}`, show('id') + show('user'))};`)
      const first = { user: 'ann', items: [{ id: 1 }, { id: 2 }] }
      const later = { user: 'bob', items: [{ id: 8 }, { id: 9 }] }
      const expected = ['1ann;2ann;', '1bob;2bob;']
      expect(await visit({ main: cache('60 "a"', body) }, [first, later])).toEqual(expected)
    })

    it('sees the same where nothing around it is kept', async () => {
      const main = each(`${hole(`id=${syntax.itemIdExpression}`, show('id') + show('user'))};`)
      const contexts = [{ user: 'ann', items: [{ id: 1 }, { id: 2 }] }]
      expect(await visit({ main }, contexts)).toEqual(['1ann;2ann;'])
    })

    it('sees what it names before the context', async () => {
      const main = cache('60 "a"', hole('user="named"', show('user')))
      expect(await visit({ main }, [{ user: 'ann' }, { user: 'bob' }])).toEqual(['named', 'named'])
    })

    it('sees what it names in what it includes', async () => {
      const part = show('id') + show('user')
      const main = cache('60 "a"', each(hole(`id=${syntax.itemIdExpression}`, include('part'))))
      const items = [{ id: 1 }, { id: 2 }]
      const contexts = [
        { user: 'ann', items },
        { user: 'bob', items },
      ]
      expect(await visit({ main, part }, contexts)).toEqual(['1ann2ann', '1bob2bob'])
    })

    it('sees the context’s value of a name that a template around its own makes', async () => {
      const part = hole('', `<${show(item.name)}>`)
      const items = [{ id: 1 }]
      const contexts = [
        { items, [item.name]: 'of ann' },
        { items, [item.name]: 'of bob' },
      ]
      const expected = ['<of ann>', '<of bob>']
      for (const main of [cache('60 "a"', each(include('part'))), each(include('part'))]) {
        expect(await visit({ main, part }, contexts)).toEqual(expected)
      }
    })

    it('sees nothing of the names of a block around it', async () => {
      const main = cache('60 "a"', hole('id=1', `${show('id')}${include('part')}`))
      const part = hole('', `<${show('id')}>`)
      expect(await visit({ main, part }, [{ id: 'a' }, { id: 'b' }])).toEqual(['1<a>', '1<b>'])
    })

    it('may name values for a block in it', async () => {
      const inner = hole('b=a', show('b') + show('user'))
      const named = syntax.engine === 'eta' ? inner.replace('b=a', 'b=it.a') : inner
      const main = cache('60 "a"', hole('a=1', named))
      expect(await visit({ main }, [{ user: 'ann' }, { user: 'bob' }])).toEqual(['1ann', '1bob'])
    })

    it('is refused a name of its template’s own, when that is compiled', async () => {
      for (const around of [(body: string) => cache('60 "a"', body), (body: string) => body]) {
        const main = `\n${around(each(hole('', syntax.ownName)))}`
        await expect(siteOf({ main }).render('main', { items: [] })).rejects.toMatchObject({
          code: 'FRAGCACHE_TAG',
          message: expect.stringMatching(
            /this nocache block uses ".*", which is made in its template/,
          ) as string,
          line: 2,
        })
        await expect(siteOf({ main }).render('main', { items: [] })).rejects.toThrow(
          syntax.ownExample,
        )
      }
    })

    it.each<[what: string, value: unknown]>([
      ['a function', () => 1],
      ['a class’s instance', new Point()],
      ['a list with one', [1, { deep: new Point() }]],
    ])('cannot name %s', async (_what, id) => {
      const main = `\n${cache('60 "a"', each(hole(`id=${syntax.itemIdExpression}`, show('user'))))}`
      const error = await siteOf({ main })
        .render('main', { items: [{ id }] })
        .catch((reason: unknown) => reason)
      expect(error).toMatchObject({ code: 'FRAGCACHE_TAG', line: 2, fragment: 'a' })
      expect(String(error)).toContain('the value that nocache names "id" cannot be kept')
      expect(String(error)).toContain('name data, such as an id or a string')
    })

    it.each<[what: string, value: unknown, shown: string]>([
      ['null', null, ''],
      ['nothing', undefined, ''],
      ['a number', 0.5, '0.5'],
      ['false', false, 'false'],
      ['a long text of any characters', '<é\u2028"\\ :+.='.repeat(50), ''],
    ])('may name %s', async (_what, id, shown) => {
      const values = `id=${syntax.itemIdExpression}`
      const templates = { main: cache('60 "a"', each(hole(values, show('id')))) }
      const plain = { main: each(syntax.itemId) }
      const contexts = [{ items: [{ id }] }, { items: [] }]
      const [first, second] = await visit(templates, contexts)
      expect(second).toBe(first)
      expect(first).toBe(await syntax.makeSite(undefined, plain).render('main', contexts[0] ?? {}))
      if (shown !== '') expect(first).toBe(shown)
    })

    it('is filled for code too, with the context that is given', async () => {
      const caches = createCaches({ default: make() })
      const body = each(`${hole(`id=${syntax.itemIdExpression}`, show('id') + show('user'))};`)
      const site = syntax.makeSite(caches, { main: cache('60 "a"', body) })
      await site.render('main', { user: 'ann', items: [{ id: 1 }, { id: 2 }] })
      const text = await new FragmentCache(caches).render(
        { name: 'a', timeout: 60, holes: site.holes({ user: 'bob' }) },
        () => 'made again',
      )
      expect(text).toBe('1bob;2bob;')
    })
  })
}
