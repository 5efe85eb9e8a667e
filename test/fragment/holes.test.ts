import { setTimeout as delay } from 'node:timers/promises'
import { afterEach, describe, expect, it, vi } from 'vitest'
import { CacheTagError } from '../../src/index.js'
import { renderDeferred, renderMaybeDeferred } from '../../src/fragment/deferred.js'
import type { HoleRenderer } from '../../src/fragment/hole-parts.js'
import { isKept, refuseHoles, renderHole } from '../../src/fragment/holes.js'
import { LateFrame } from '../../src/fragment/late-frame.js'
import { resolveTag } from '../../src/fragment/render.js'
import { currentFrame, Frame, runAsyncIn, runSyncIn } from '../../src/making/frame.js'
import { TemplateFrame } from '../../src/fragment/template-frame.js'
import { HoleEngine, type Visitor } from './hole-engine.js'
import { coreOf } from '../../src/backend/core.js'
import { renderTagSync } from './render-tag.js'

const ann = { name: 'Ann' }
const bob = { name: 'Bob' }

/** The ways to render a page, by what its fragments are kept in. */
const ways = {
  'in place': { using: 'near', render: (page: () => string) => page() },
  'in a session, near': { using: 'near', render: renderDeferred },
  'in a session, far': { using: 'far', render: renderDeferred },
}

describe.each(Object.entries(ways))('a hole in a fragment rendered %s', (_, { using, render }) => {
  it('is rendered for each visitor, and everything around it once', async () => {
    const engine = new HoleEngine()
    const page = (visitor: Visitor) => () =>
      `<${engine.tag(
        'box',
        visitor,
        () => `Hello ${engine.nocache('name', visitor, (v) => `${v.name}!`)} Bye.`,
        { using },
      )}>`
    expect(await render(page(ann))).toBe('<Hello Ann! Bye.>')
    expect(await render(page(bob))).toBe('<Hello Bob! Bye.>')
    expect(await render(page(ann))).toBe('<Hello Ann! Bye.>')
    expect(engine.ran).toEqual(['box', 'name', 'name', 'name'])
    const stored = await engine.caches.get(using as 'far').get(engine.fragments.makeKey('box'))
    expect(stored).toEqual(['Hello ', { e: 'test', t: 'page', h: 'name' }, ' Bye.'])
  })

  it('is filled in the scope of the outermost fragment, found or made, at any depth', async () => {
    const engine = new HoleEngine()
    const page = (visitor: Visitor) => () =>
      engine.tag(
        'a',
        visitor,
        () =>
          `a${engine.tag('b', { name: 'inner' }, () => `b${engine.tag('c', { name: 'innermost' }, () => `c${engine.nocache('h', { name: 'innermost' }, (v) => v.name)}`, { using })}`, { using })}`,
        { using },
      )
    expect(await render(page(ann))).toBe('abcAnn')
    expect(await render(page(bob))).toBe('abcBob')
    await engine.fragments.delete('a', [], { using })
    expect(await render(page(bob))).toBe('abcBob')
    await engine.fragments.delete('a', [], { using })
    await engine.fragments.delete('b', [], { using })
    expect(await render(page(ann))).toBe('abcAnn')
    expect(engine.ran.filter((name) => name !== 'h')).toEqual(['a', 'b', 'c', 'a', 'a', 'b'])
  })

  it('may hold fragments of its own, whose holes it fills', async () => {
    const engine = new HoleEngine()
    const page = (visitor: Visitor) => () =>
      engine.tag(
        'box',
        visitor,
        () =>
          `[${engine.nocache(
            'part',
            visitor,
            (v) =>
              `${v.name}:${engine.tag('inner', v, () => `i${engine.nocache('deep', v, (w) => w.name)}`, { using })}`,
          )}]`,
        { using },
      )
    expect(await render(page(ann))).toBe('[Ann:iAnn]')
    expect(await render(page(bob))).toBe('[Bob:iBob]')
    expect(engine.ran.filter((name) => name === 'inner' || name === 'box')).toEqual([
      'box',
      'inner',
    ])
    // The fragment inside the hole is no part of the one around it.
    await engine.fragments.invalidate('inner', { using })
    expect(await render(page(ann))).toBe('[Ann:iAnn]')
    expect(engine.ran.filter((name) => name === 'inner' || name === 'box')).toEqual([
      'box',
      'inner',
      'inner',
    ])
  })

  it('is rendered in place outside of every fragment, and where nothing around is kept', async () => {
    const engine = new HoleEngine()
    const name = (visitor: Visitor) => engine.nocache('name', visitor, (v) => v.name)
    const page = (visitor: Visitor) => () =>
      name(visitor) +
      engine.tag('off', visitor, () => `(${name(visitor)})`, { using, if: false }) +
      engine.tag(
        'off',
        visitor,
        () => engine.tag('on', visitor, () => `<${name(visitor)}>`, { using }),
        {
          using,
          if: false,
        },
      )
    expect(await render(page(ann))).toBe('Ann(Ann)<Ann>')
    expect(await render(page(bob))).toBe('Bob(Bob)<Bob>')
    expect(engine.ran.filter((one) => one === 'on')).toEqual(['on'])
  })

  it('stays one where an uncached fragment stands between it and a kept one', async () => {
    const engine = new HoleEngine()
    const page = (visitor: Visitor) => () =>
      engine.tag(
        'on',
        visitor,
        () =>
          engine.tag('off', visitor, () => `(${engine.nocache('h', visitor, (v) => v.name)})`, {
            using,
            if: false,
          }),
        { using },
      )
    expect(await render(page(ann))).toBe('(Ann)')
    expect(await render(page(bob))).toBe('(Bob)')
    expect(engine.ran).toEqual(['on', 'off', 'h', 'h'])
  })

  it('is rendered as often as it stands there, in order', async () => {
    const engine = new HoleEngine()
    let n = 0
    const page = (visitor: Visitor) => () =>
      engine.tag(
        'rows',
        visitor,
        () =>
          [1, 2, 3].map((i) => `${i}${engine.nocache('n', visitor, () => `#${++n} `)}`).join(''),
        { using },
      )
    expect(await render(page(ann))).toBe('1#1 2#2 3#3 ')
    expect(await render(page(ann))).toBe('1#4 2#5 3#6 ')
  })

  it('that stands where a text begins or ends leaves nothing else there', async () => {
    const engine = new HoleEngine()
    const page = () => engine.tag('h', ann, () => engine.nocache('h', ann, () => ''), { using })
    expect(await render(page)).toBe('')
    expect(await render(page)).toBe('')
    expect(engine.ran).toEqual(['h', 'h', 'h'])
  })

  it.each<[string, (text: string) => string]>([
    ['put in upper case', (text) => text.toUpperCase()],
    ['escaped', (text) => text.replaceAll('<', '&lt;')],
    ['quoted', (text) => JSON.stringify(text)],
    ['stripped of markup', (text) => text.replace(/<[^>]*>/g, '')],
    ['cut', (text) => text.slice(0, 20)],
    ['encoded for a URL', (text) => encodeURIComponent(text)],
  ])(
    'is an error that names it when its place was %s, and nothing is stored',
    async (__, alter) => {
      const engine = new HoleEngine()
      const page = (how: (text: string) => string) => () =>
        engine.tag('box', ann, () => how(engine.nocache('h', ann, () => 'text')), { using })
      await expect(async () => render(page(alter))).rejects.toThrow(
        /^cache tag \(page, line 2\): the output of nocache was altered/,
      )
      expect(await render(page((text) => text))).toBe('text')
      expect(engine.ran).toEqual(['box', 'box', 'h'])
    },
  )

  it('is filled where its place was trimmed, by its own text', async () => {
    const engine = new HoleEngine()
    const page = (visitor: Visitor) => () =>
      engine.tag(
        'box',
        visitor,
        () => ` ${engine.nocache('h', visitor, (v) => `${v.name} `)}\n`.trim(),
        { using },
      )
    expect(await render(page(ann))).toBe('Ann ')
    expect(await render(page(bob))).toBe('Bob ')
    expect(engine.ran).toEqual(['box', 'h', 'h'])
  })

  it('keeps a text from being stored in which something else was made of it', async () => {
    const engine = new HoleEngine()
    const page = () =>
      engine.tag('box', ann, () => (engine.nocache('h', ann, () => 'x') === '' ? '' : 'full'), {
        using,
      })
    expect([await render(page), await render(page)]).toEqual(['full', 'full'])
    expect(engine.ran).toEqual(['box', 'box'])
  })

  it('makes the fragment a miss when it is not found any more', async () => {
    const engine = new HoleEngine()
    let version = 'old'
    const page = (visitor: Visitor) => () =>
      engine.tag(
        'box',
        visitor,
        () => `${version} ${engine.nocache(version, visitor, (v) => v.name)}`,
        { using },
      )
    expect(await render(page(ann))).toBe('old Ann')
    engine.forget('old')
    version = 'new'
    expect(await render(page(ann))).toBe('new Ann')
    expect(await render(page(bob))).toBe('new Bob')
    expect(engine.ran).toEqual(['box', 'old', 'box', 'new', 'new'])
  })

  it('makes an inner fragment a miss, too, when the outer one is made', async () => {
    const engine = new HoleEngine()
    let version = 'old'
    const page = () =>
      engine.tag(
        'outer',
        ann,
        () =>
          `o ${engine.tag('inner', ann, () => `${version} ${engine.nocache(version, ann, (v) => v.name)}`, { using })}`,
        { using },
      )
    expect(await render(page)).toBe('o old Ann')
    await engine.fragments.delete('outer', [], { using })
    engine.forget('old')
    version = 'new'
    expect(await render(page)).toBe('o new Ann')
    expect(await render(page)).toBe('o new Ann')
    expect(engine.ran).toEqual(['outer', 'inner', 'old', 'outer', 'inner', 'new', 'new'])
  })

  it('that goes while it is being filled does not fail the page', async () => {
    const engine = new HoleEngine()
    const page = () => {
      const holes = engine.holes(ann)
      let asked = 0
      const flaky: HoleRenderer = {
        has: (ref) => holes.has(ref),
        render: (ref) => (asked++ === 0 ? undefined : holes.render(ref)),
      }
      engine.holes = () => flaky
      return engine.tag('box', ann, () => `x${engine.nocache('h', ann, (v) => v.name)}`, { using })
    }
    const original = engine.holes.bind(engine)
    expect(
      await render(() =>
        engine.tag('box', ann, () => `x${engine.nocache('h', ann, (v) => v.name)}`, { using }),
      ),
    ).toBe('xAnn')
    expect(await render(page)).toBe('xAnn')
    engine.holes = original
    expect(await render(() => engine.tag('box', ann, () => 'other', { using }))).toBe('xAnn')
  })

  it('throws what it throws, found or made, and what is around it is kept all the same', async () => {
    const engine = new HoleEngine()
    let fails = true
    const page = () =>
      engine.tag(
        'box',
        ann,
        () =>
          `<${engine.nocache('h', ann, () => {
            if (fails) throw new Error('boom')
            return 'fine'
          })}>`,
        { using },
      )
    await expect(async () => render(page)).rejects.toThrow('boom')
    await expect(async () => render(page)).rejects.toThrow('boom')
    fails = false
    expect(await render(page)).toBe('<fine>')
    expect(engine.ran.filter((name) => name === 'box')).toEqual(['box'])
  })

  it('lets the fragment be a hit by its tags, and no others', async () => {
    const engine = new HoleEngine()
    const page = () =>
      engine.tag('box', ann, () => `b${engine.nocache('h', ann, (v) => v.name)}`, {
        using,
        tags: ['t'],
      })
    await render(page)
    await engine.caches.invalidateTags(['other'])
    await render(page)
    await engine.caches.invalidateTags(['t'])
    await render(page)
    expect(engine.ran.filter((name) => name === 'box')).toEqual(['box', 'box'])
  })

  it('still is one when the store fails, and its place reaches nobody', async () => {
    const engine = new HoleEngine()
    engine.far.failing = true
    const page = (visitor: Visitor) => () =>
      engine.tag('box', visitor, () => `b${engine.nocache('h', visitor, (v) => v.name)}`, { using })
    expect(await render(page(ann))).toBe('bAnn')
    expect(await render(page(bob))).toBe('bBob')
  })
})

describe('what is stored for a fragment with holes', () => {
  it.each<[string, unknown]>([
    ['no array', { e: 'test', t: 'page', h: 'h' }],
    ['an empty array', []],
    ['a text only', ['text']],
    ['two texts', ['a', 'b']],
    ['texts where holes belong', ['a', 'b', 'c']],
    ['holes where texts belong', [{ e: 'test', t: 'page', h: 'h' }, 'a', 'b']],
    ['a hole at its end', ['a', { e: 'test', t: 'page', h: 'h' }]],
    ['a hole without a template', ['a', { e: 'test', h: 'h' }, 'b']],
    ['a hole with more than is known', ['a', { e: 'test', t: 'page', h: 'h', x: 1 }, 'b']],
    ['a hole of another type', ['a', { e: 'test', t: 'page', h: 1 }, 'b']],
    ['an array with gaps', Object.assign(new Array<string>(3), { 0: 'a', 2: 'b' })],
    ['an unknown hole', ['a', { e: 'test', t: 'page', h: '__proto__' }, 'b']],
    ["another engine's hole", ['a', { e: 'toString', t: 'page', h: 'h' }, 'b']],
    ['null', null],
    ['a number', 7],
  ])('is a miss where somebody put %s in its place', async (_, value) => {
    for (const using of ['near', 'far']) {
      const engine = new HoleEngine()
      engine.nocache('h', ann, () => '')
      engine.ran.length = 0
      await engine.caches.get(using as 'far').set(engine.fragments.makeKey('box'), value)
      const page = () =>
        engine.tag('box', ann, () => `b${engine.nocache('h', ann, (v) => v.name)}`, { using })
      expect(await renderDeferred(page)).toBe('bAnn')
      expect(await renderDeferred(page)).toBe('bAnn')
      expect(engine.ran).toEqual(['box', 'h', 'h'])
    }
  })

  it('cannot be forged by a text, whatever it looks like', async () => {
    for (const using of ['near', 'far']) {
      const engine = new HoleEngine()
      const seen: string[] = []
      const page = (comment: string) => () =>
        engine.tag(
          'box',
          ann,
          () => {
            const place = engine.nocache('secret', ann, () => 'SECRET')
            seen.push(place)
            return `${comment}|${place}`
          },
          { using },
        )
      await renderDeferred(page(''))
      const stored = await engine.caches.get(using as 'far').get(engine.fragments.makeKey('box'))
      for (const comment of [
        JSON.stringify(stored),
        JSON.stringify((stored as unknown[])[1]),
        // The marks of a render that is over.
        seen[0]?.replaceAll(/\d/g, '1') ?? '',
        ' 123456789012345678901234567890123456789012345678901-0 <hOlE "\' > 0-123456789012 ',
        '<fRaG "\' >',
        '\u0000\u0001[hole]',
      ]) {
        await engine.fragments.delete('box', [], { using })
        expect(await renderDeferred(page(comment))).toBe(`${comment}|SECRET`)
        expect(await renderDeferred(page('never'))).toBe(`${comment}|SECRET`)
      }
    }
  })

  it('refuses the mark of another render, which may be somebody’s who heard of it', () => {
    const engine = new HoleEngine()
    let mark = ''
    engine.tag('one', ann, () => (mark = engine.nocache('h', ann, (v) => v.name)))
    expect(mark).toMatch(/hOlE/)
    const again = () => engine.tag('two', ann, () => `<${mark}>`)
    expect(again).toThrow(/carried out of the cached body/)
    expect(again).toThrow(CacheTagError)
    expect(() =>
      engine.tag('three', ann, () => `<${mark}>${engine.nocache('h', ann, (v) => v.name)}`),
    ).toThrow(/carried out/)
  })

  it('refuses a mark that reaches the page itself', async () => {
    const engine = new HoleEngine()
    await expect(
      renderDeferred(() => {
        let mark = ''
        engine.tag('one', ann, () => (mark = engine.nocache('h', ann, (v) => v.name)))
        return mark
      }),
    ).rejects.toThrow(/carried out of the cached body/)
  })
})

describe('those who wait for a fragment with holes', () => {
  it.each(['near', 'far'])('each fill them for themselves, over "%s"', async (using) => {
    const engine = new HoleEngine()
    const page = (visitor: Visitor) =>
      renderDeferred(() =>
        engine.tag(
          'box',
          visitor,
          () =>
            `b${engine.nocache('h', visitor, (v) => v.name)}${engine.tag('far', visitor, () => 'f', { using: 'far' })}`,
          { using },
        ),
      )
    const visitors = Array.from({ length: 50 }, (_, i) => ({ name: `visitor ${i}` }))
    const pages = await Promise.all(visitors.map(page))
    expect(pages).toEqual(visitors.map(({ name }) => `b${name}f`))
    expect(engine.ran.filter((name) => name === 'box')).toEqual(['box'])
  })

  it('each fill them for themselves when it is rendered from code', async () => {
    const engine = new HoleEngine()
    const page = (visitor: Visitor) =>
      engine.fragments.render(
        { name: 'box', timeout: 9, holes: engine.holes(visitor) },
        async () => {
          await delay(2)
          return `b${engine.nocache('h', visitor, (v) => v.name)}`
        },
      )
    const pages = await Promise.all([page(ann), page(bob), page(ann)])
    expect(pages).toEqual(['bAnn', 'bBob', 'bAnn'])
    expect(engine.ran).toEqual(['h', 'h', 'h'])
    expect(
      await engine.fragments.renderMany(
        [ann, bob].map((visitor) => ({
          name: 'box',
          timeout: 9,
          holes: engine.holes(visitor),
          body: () => 'never',
        })),
      ),
    ).toEqual(['bAnn', 'bBob'])
  })

  it('pass it on with places of their own inside bodies of their own', async () => {
    const engine = new HoleEngine()
    const page = (visitor: Visitor, varyOn: number) =>
      engine.fragments.render(
        { name: 'outer', varyOn: [varyOn], timeout: 9, holes: engine.holes(visitor) },
        async () => {
          const inner = await engine.fragments.render({ name: 'inner', timeout: 9 }, async () => {
            await delay(2)
            return `i${engine.nocache('h', visitor, (v) => v.name)}`
          })
          return `o${inner}`
        },
      )
    expect(await Promise.all([page(ann, 1), page(bob, 2)])).toEqual(['oiAnn', 'oiBob'])
    expect(await Promise.all([page(bob, 1), page(ann, 2)])).toEqual(['oiBob', 'oiAnn'])
  })

  it('run its body by themselves if they cannot find its holes', async () => {
    const engine = new HoleEngine()
    const blind: HoleRenderer = { has: () => false, render: () => undefined }
    const first = engine.fragments.render(
      { name: 'box', timeout: 9, holes: engine.holes(ann) },
      async () => {
        await delay(2)
        return `b${engine.nocache('h', ann, (v) => v.name)}`
      },
    )
    const second = engine.fragments.render({ name: 'box', timeout: 9, holes: blind }, () => 'own')
    expect(await Promise.all([first, second])).toEqual(['bAnn', 'own'])
  })
})

describe('a session with holes', () => {
  it('reads what is in holes and in bodies together', async () => {
    const engine = new HoleEngine()
    const far = { using: 'far' }
    const page = () =>
      renderDeferred(
        () =>
          engine.tag(
            'found',
            ann,
            () => `f${engine.nocache('h', ann, (v) => engine.tag('x', v, () => 'x', far))}`,
            far,
          ) + engine.tag('made', ann, () => `m${engine.tag('y', ann, () => 'y', far)}`, far),
      )
    await page()
    await engine.fragments.delete('made', [], far)
    const before = engine.far.reads
    expect(await page()).toBe('fxmy')
    expect(engine.far.reads - before).toBe(2)
  })

  it('ends though a hole drops what others wait for', async () => {
    const engine = new HoleEngine()
    const part = (visitor: Visitor) =>
      engine.tag(
        'part',
        visitor,
        () => `p${engine.tag('far', visitor, () => 'f', { using: 'far' })}`,
      )
    const box = (visitor: Visitor) =>
      renderDeferred(() =>
        engine.tag(
          'box',
          visitor,
          () => engine.nocache('h', visitor, (v) => (part(v), `<${part(v)}>`)),
          { using: 'far' },
        ),
      )
    expect([await box(ann), await box(bob)]).toEqual(['<pf>', '<pf>'])
  })

  it('keeps the scope of a tag whose body waits for what is inside', async () => {
    const engine = new HoleEngine()
    const scope = { name: '' }
    const page = () =>
      renderDeferred(() =>
        ['Ann', 'Bob']
          .map((name, i) => {
            scope.name = name
            return engine.tag(
              'box',
              scope,
              () =>
                `b${engine.nocache('h', scope, (v) => v.name)}${engine.tag('x', scope, () => 'x', { using: 'far' })}`,
              { varyOn: [i] },
            )
          })
          .join(),
      )
    expect([await page(), await page()]).toEqual(['bAnnx,bBobx', 'bAnnx,bBobx'])
  })

  it('reads what is in holes together', async () => {
    const engine = new HoleEngine()
    const page = (visitor: Visitor) => () =>
      Array.from({ length: 10 }, (_, i) =>
        engine.tag(
          'box',
          visitor,
          () =>
            engine.nocache(`h${i}`, visitor, (v) =>
              engine.tag('inner', v, () => `${i}`, { using: 'far', varyOn: [i] }),
            ),
          { using: 'far', varyOn: [i] },
        ),
      ).join('')
    expect(await renderDeferred(page(ann))).toBe('0123456789')
    const { reads, writes } = engine.far
    expect(await renderDeferred(page(bob))).toBe('0123456789')
    expect([engine.far.reads - reads, engine.far.writes - writes]).toEqual([2, 0])
  })

  it('renders holes that are asynchronous', async () => {
    const engine = new HoleEngine()
    engine.isAsynchronous = true
    for (const using of ['near', 'far']) {
      const page = (visitor: Visitor) =>
        renderDeferred(
          () =>
            `<${engine.tag(
              'box',
              visitor,
              () =>
                `b${engine.nocache('h', visitor, (v) => v.name + engine.tag('x', v, () => 'x', { using: 'far' }))}`,
              { using },
            )}>`,
        )
      expect(await page(ann)).toBe('<bAnnx>')
      expect(await page(bob)).toBe('<bBobx>')
    }
  })

  it('keeps what changes in the scope of a tag that is put off', async () => {
    const engine = new HoleEngine()
    const scope = { name: '' }
    const page = () =>
      ['Ann', 'Bob'].map((name) => {
        scope.name = name
        return engine.tag('box', scope, () => `b${engine.nocache('h', scope, (v) => v.name)}`, {
          using: 'far',
        })
      })
    expect(await renderDeferred(() => page().join())).toBe('bAnn,bBob')
    expect(await renderDeferred(() => page().join())).toBe('bAnn,bBob')
  })

  it('does not hold up those who wait for what it has yet to fill', async () => {
    const engine = new HoleEngine()
    const far = { using: 'far' }
    const page = (visitor: Visitor, outer: string, inner: string) =>
      renderDeferred(() =>
        engine.tag(
          outer,
          visitor,
          () =>
            `${outer}(${engine.nocache(`in ${outer}`, visitor, (v) =>
              engine.tag(inner, v, () => `${inner}(${engine.tag('z', v, () => 'z', far)})`, far),
            )})`,
          far,
        ),
      )
    const pages = [page(ann, 'p', 'x'), page(bob, 'q', 'x'), page(ann, 'q', 'x')]
    expect(await Promise.all(pages)).toEqual(['p(x(z))', 'q(x(z))', 'q(x(z))'])
  })
})

describe('a stored part that is put into a body which is being made', () => {
  it.each(['near', 'far'])(
    'over "%s" is a miss where its hole is of another page',
    async (using) => {
      const engine = new HoleEngine()
      const inner = (visitor: Visitor) =>
        engine.tag('inner', visitor, () => `i${engine.nocache('h', visitor, (v) => v.name)}`, {
          using,
        })
      expect(await renderDeferred(() => inner(ann))).toBe('iAnn')
      const original = engine.holes.bind(engine)
      engine.holes = (visitor) => {
        const own: HoleRenderer = { ...original(visitor), page: visitor, capture: () => own }
        return own
      }
      const page = () => engine.tag('outer', bob, () => `o${inner(ann)}`, { using })
      expect(await renderDeferred(page)).toBe('oiBob')
      expect(engine.ran).toEqual(['inner', 'h', 'outer', 'inner', 'h'])
    },
  )
})

describe('what may hold fragments over any cache', () => {
  it('is a text at once where nothing is put off, and a promise otherwise', async () => {
    const engine = new HoleEngine()
    const box = (using: string) => () => engine.tag('box', ann, () => using, { using })
    expect(renderMaybeDeferred(box('near'))).toBe('near')
    const far = renderMaybeDeferred(box('far'))
    expect(far).toBeInstanceOf(Promise)
    expect(await far).toBe('far')
    expect(engine.far.writes).toBe(2)
    expect(await renderMaybeDeferred(box('far'))).toBe('far')
    expect(engine.ran).toEqual(['box', 'box'])
  })

  it('is a part of the session that is going on', async () => {
    const engine = new HoleEngine()
    const box = () => engine.tag('box', ann, () => 'far', { using: 'far' })
    expect(await renderDeferred(() => `<${renderMaybeDeferred(box) as string}>`)).toBe('<far>')
    expect(engine.far.reads).toBe(1)
  })

  it('throws what it throws', async () => {
    const engine = new HoleEngine()
    const boom = (): string => {
      throw new Error('boom')
    }
    expect(() => renderMaybeDeferred(boom)).toThrow('boom')
    await expect(
      renderMaybeDeferred(() => engine.tag('box', ann, boom, { using: 'far' })),
    ).rejects.toThrow('boom')
  })
})

describe('a hole in a fragment that is past its time', () => {
  afterEach(() => {
    vi.useRealTimers()
  })

  it.each(Object.entries(ways))(
    'is filled for each visitor though the body fails, %s',
    async (_, { using, render }) => {
      vi.useFakeTimers({ toFake: ['Date'] })
      const engine = new HoleEngine()
      let fails = false
      const page = (visitor: Visitor) => () =>
        engine.tag(
          'outer',
          visitor,
          () =>
            `o${engine.tag(
              'inner',
              visitor,
              () => {
                const hole = engine.nocache('h', visitor, (v) => v.name)
                if (fails) throw new Error('boom')
                return `i${hole}`
              },
              { using, timeout: 10, staleIfError: 100 },
            )}`,
          { using, timeout: 5 },
        )
      expect(await render(page(ann))).toBe('oiAnn')
      fails = true
      vi.setSystemTime(Date.now() + 11_000)
      expect(await render(page(bob))).toBe('oiBob')
      expect(await Promise.all([render(page(ann)), render(page(bob))])).toEqual(['oiAnn', 'oiBob'])
      fails = false
      expect(await render(page(bob))).toBe('oiBob')
      expect(engine.ran.filter((name) => name === 'inner').length).toBeGreaterThan(2)
      expect(engine.ran.at(-1)).toBe('h')
    },
  )

  it('is filled for each visitor while it is made again by nobody', async () => {
    vi.useFakeTimers({ toFake: ['Date'] })
    const engine = new HoleEngine()
    const render = (visitor: Visitor, text: string) =>
      engine.fragments.render(
        { name: 'outer', timeout: 5, holes: engine.holes(visitor) },
        async () =>
          `o${await engine.fragments.render(
            { name: 'inner', timeout: 10, staleWhileRevalidate: 100 },
            async () => {
              await delay(1)
              return text + engine.nocache('h', visitor, (v) => v.name)
            },
          )}`,
      )
    expect(await render(ann, 'old ')).toBe('oold Ann')
    vi.setSystemTime(Date.now() + 11_000)
    expect(await render(bob, 'new ')).toBe('oold Bob')
    await delay(20)
    expect(await render(bob, 'newer ')).toBe('onew Bob')
    expect(await render(ann, 'newest ')).toBe('onew Ann')
  })
})

describe('in synchronous rendering', () => {
  it('a hole that is asynchronous is an error that says so', () => {
    const engine = new HoleEngine()
    engine.isAsynchronous = true
    const page = () => engine.tag('box', ann, () => `b${engine.nocache('h', ann, (v) => v.name)}`)
    expect(page).toThrow(/rendered asynchronously and this is synchronous rendering/)
    expect(page).toThrow(CacheTagError)
  })
})

describe('a hole whose surroundings cannot fill it', () => {
  it('is an error in a fragment from code that names the remedy, made or found', async () => {
    const engine = new HoleEngine()
    const options = { name: 'box', timeout: 9 }
    const body = () => `b${engine.nocache('h', ann, (v) => v.name)}`
    await expect(engine.fragments.render(options, body)).rejects.toThrow(
      /the fragment "box", which is rendered around it from code.*holes: registered\.holes\(context\)/,
    )
    expect(() => engine.fragments.renderSync(options, body)).toThrow(CacheTagError)
    const holes = engine.holes(ann)
    expect(await engine.fragments.render({ ...options, holes }, body)).toBe('bAnn')
    await expect(engine.fragments.render(options, body)).rejects.toThrow(/pass the option holes/)
    expect(() => engine.fragments.renderSync(options, body)).toThrow(/pass the option holes/)
    expect(engine.fragments.renderSync({ ...options, holes: engine.holes(bob) }, body)).toBe('bBob')
  })

  it('is an error where it could not be found again', () => {
    const engine = new HoleEngine()
    const other = { e: 'other', t: 'page', h: 'h' }
    const page = () =>
      engine.tag('box', ann, () => renderHole(other, { template: 'x', line: 3 }, () => 'in place'))
    expect(page).toThrow(/cache tag \(x, line 3\): this nocache block of other could not be found/)
    expect(page).toThrow(CacheTagError)
    expect(engine.tag('box', ann, () => 'fine')).toBe('fine')
  })

  it('is an error in a value that is stored as a whole', () => {
    const engine = new HoleEngine()
    const value = new Frame(coreOf(engine.near), undefined, undefined)
    const render = () => engine.nocache('h', ann, (v) => v.name)
    expect(() => runSyncIn(value, render)).toThrow(/inside a value or a page that is stored/)
    expect(() => runSyncIn(value, () => engine.tag('box', ann, render))).toThrow(CacheTagError)
    const page = new TemplateFrame(coreOf(engine.near), undefined, undefined, {
      holeFault: (position) => new CacheTagError('its own words', position),
    })
    expect(() => runSyncIn(page, render)).toThrow('cache tag (page, line 2): its own words')
  })

  it.each([7, 'x', {}, { has: () => true }])('refuses %o as the option holes', async (holes) => {
    const { fragments } = new HoleEngine()
    const options = { name: 'box', timeout: 9, holes: holes as unknown as HoleRenderer }
    await expect(fragments.render(options, () => 'x')).rejects.toThrow(/^holes: .* cannot render/)
  })
})

describe('code around holes', () => {
  it('can tell whether what it puts out is kept', async () => {
    const engine = new HoleEngine()
    const seen: boolean[] = []
    const look = () => {
      seen.push(isKept())
      return ''
    }
    look()
    engine.tag('off', ann, look, { if: false })
    engine.tag('on', ann, () => look() + engine.nocache('h', ann, look))
    engine.tag('on', ann, look)
    await runAsyncIn(new Frame(coreOf(engine.near), undefined, undefined), async () => {
      await delay(1)
      look()
    })
    // The hole, twice, is outside.
    expect(seen).toEqual([false, false, true, false, false, true])
  })

  it('can refuse to measure what is not there yet', () => {
    const engine = new HoleEngine()
    refuseHoles('anything')
    engine.tag('free', ann, () => {
      refuseHoles('anything')
      return ''
    })
    const page = () =>
      engine.tag('box', ann, () => {
        const text = `<${engine.nocache('h', ann, (v) => v.name)}>`
        refuseHoles('anything else')
        refuseHoles(text)
        return String(text.length)
      })
    expect(page).toThrow(/line 2\): the output of nocache was altered/)
  })

  it('may render a part of a body before the body', () => {
    const engine = new HoleEngine()
    const holes = engine.holes(ann)
    const site = { fragment: 'box', remedy: '' }
    const fragment = resolveTag(engine.fragments, site, { timeout: 9, varyOn: [] })
    const late = new LateFrame(coreOf(engine.near), undefined, fragment, holes)
    const early = runSyncIn(late, () => engine.nocache('h', ann, (v) => v.name))
    expect(early).not.toBe('Ann')
    const body = () => {
      late.attach(currentFrame() as TemplateFrame)
      return `<${early}${engine.nocache('i', ann, (v) => v.name)}>`
    }
    expect(renderTagSync(fragment, body, holes)).toBe('<AnnAnn>')
    expect(renderTagSync(fragment, body, engine.holes(bob))).toBe('<BobBob>')
  })

  it('leaves the frame that it found', () => {
    const engine = new HoleEngine()
    engine.tag('box', ann, () =>
      engine.nocache('h', ann, () => String(currentFrame() === undefined)),
    )
    expect(engine.tag('box', ann, () => 'x')).toBe('true')
    expect(currentFrame()).toBeUndefined()
  })
})
