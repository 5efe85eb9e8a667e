import { setTimeout as delay } from 'node:timers/promises'
import { afterEach, describe, expect, it, vi } from 'vitest'
import { CacheTagError, FragmentCache } from '../../src/index.js'
import { renderDeferred } from '../../src/fragment/deferred.js'
import { beginVaryOn, endVaryOn, noteRead } from '../../src/fragment/guard.js'
import { LateFrame } from '../../src/fragment/late-frame.js'
import { resolveTag } from '../../src/fragment/render.js'
import { Frame, runSyncIn } from '../../src/making/frame.js'
import { TemplateFrame } from '../../src/fragment/template-frame.js'
import { HoleEngine } from './hole-engine.js'
import { fragmentsTold } from './told.js'
import { coreOf } from '../../src/backend/core.js'

const ann = { name: 'Ann' }

const { outcomes } = fragmentsTold()

afterEach(() => {
  vi.unstubAllEnvs()
})

function setUp(strict: boolean) {
  return new HoleEngine((caches) => new FragmentCache(caches, { strict }))
}

/** Reads what differs per visitor. */
function read(input: string, text = input): string {
  noteRead(input)
  return text
}

/** The arguments of a tag that reads these inputs in its vary-on values. */
function reading(...inputs: string[]) {
  beginVaryOn()
  inputs.forEach(noteRead)
  return { varyOn: inputs, declared: endVaryOn() }
}

describe.each(['near', 'far'])('strictly, a fragment in "%s"', (using) => {
  it('may read what its vary-on was made from, and nothing else of a visitor’s', async () => {
    const engine = setUp(true)
    const page = (...inputs: string[]) =>
      renderDeferred(() =>
        engine.tag('box', ann, () => read('user', 'Ann'), { ...reading(...inputs), using }),
      )
    expect(await page('user')).toBe('Ann')
    expect(await page('session', 'user')).toBe('Ann')
    const refused = page('session')
    await expect(refused).rejects.toThrow(CacheTagError)
    await expect(refused).rejects.toThrow(
      /^cache tag \(page, line 1, fragment "box"\): its body reads "user", which is not in its vary-on: one user's output would reach others; add/,
    )
    expect(outcomes()).toEqual(['box:miss', 'box:miss', 'box:error'])
  })

  it('answers for what the fragments inside read, in bodies as in arguments', async () => {
    const engine = setUp(true)
    const page = (outer: readonly string[], inner: readonly string[]) =>
      renderDeferred(() =>
        engine.tag(
          'outer',
          ann,
          () => engine.tag('inner', ann, () => read('user'), { ...reading(...inner), using }),
          { ...reading(...outer), using },
        ),
      )
    await expect(page([], ['user'])).rejects.toThrow(/fragment "outer".*reads "user"/)
    await expect(page(['user'], [])).rejects.toThrow(/fragment "inner".*reads "user"/)
    expect(await page(['user'], ['user'])).toBe('user')
  })

  it('answers for what an uncached fragment inside reads', async () => {
    const engine = setUp(true)
    await expect(
      renderDeferred(() =>
        engine.tag('on', ann, () => engine.tag('off', ann, () => read('user'), { if: false }), {
          using,
        }),
      ),
    ).rejects.toThrow(/fragment "on".*reads "user"/)
  })

  it('does not answer for what holes read', async () => {
    const engine = setUp(true)
    const page = () =>
      renderDeferred(() =>
        engine.tag('box', ann, () => `b${engine.nocache('h', ann, () => read('user', 'Ann'))}`, {
          using,
        }),
      )
    expect([await page(), await page()]).toEqual(['bAnn', 'bAnn'])
    expect(outcomes()).toEqual(['box:miss', 'box:hit'])
  })

  it('is not stored though something inside hid the error', async () => {
    const engine = setUp(true)
    const page = () =>
      renderDeferred(() =>
        engine.tag(
          'box',
          ann,
          () => {
            try {
              return read('user')
            } catch {
              return 'hidden'
            }
          },
          { using },
        ),
      )
    expect([await page(), await page()]).toEqual(['hidden', 'hidden'])
    expect(outcomes()).toEqual(['box:bypass', 'box:bypass'])
  })

  it('counts no read of other arguments as its own', async () => {
    const engine = setUp(true)
    const page = (before: () => void) =>
      renderDeferred(() => {
        before()
        return engine.tag('box', ann, () => read('user'), { using })
      })
    await expect(page(() => noteRead('user'))).rejects.toThrow(/reads "user"/)
    // Given up by an error, and followed by another tag.
    await expect(
      page(() => {
        beginVaryOn()
        noteRead('user')
      }),
    ).rejects.toThrow(/reads "user"/)
    await expect(
      page(() => {
        reading('user')
        noteRead('user')
      }),
    ).rejects.toThrow(/reads "user"/)
    await expect(
      page(() => void engine.tag('other', ann, () => 'x', { ...reading('user'), using })),
    ).rejects.toThrow(/fragment "box".*reads "user"/)
  })

  it('that uncached reads are no concern of is rendered as ever', async () => {
    const engine = setUp(true)
    const page = () =>
      renderDeferred(
        () =>
          engine.tag('off', ann, () => read('user'), { using, if: false }) +
          read('session') +
          engine.tag('on', ann, () => '!', { using }),
      )
    expect([await page(), await page()]).toEqual(['usersession!', 'usersession!'])
    expect(outcomes().at(-1)).toBe('on:hit')
  })
})

describe.each(['near', 'far'])('leniently, a fragment in "%s"', (using) => {
  it('is rendered and not stored, nor is what is around it, while what is inside is', async () => {
    const engine = setUp(false)
    const page = () =>
      renderDeferred(() =>
        engine.tag(
          'outer',
          ann,
          () =>
            engine.tag(
              'middle',
              ann,
              () => engine.tag('inner', ann, () => read('user'), { ...reading('user'), using }),
              { using },
            ),
          { ...reading('user'), using },
        ),
      )
    expect([await page(), await page()]).toEqual(['user', 'user'])
    expect(outcomes().filter((one) => one.startsWith('inner'))).toEqual(['inner:miss', 'inner:hit'])
    expect(new Set(outcomes().filter((one) => !one.startsWith('inner')))).toEqual(
      new Set(['middle:bypass', 'outer:bypass']),
    )
  })

  it('is given to nobody who waits for it', async () => {
    const engine = setUp(false)
    let running = 0
    let most = 0
    const page = (name: string) =>
      engine.fragments.render({ name: 'box', timeout: 9, using }, async () => {
        most = Math.max(most, ++running)
        await delay(2)
        running--
        return read('user', name)
      })
    expect(await Promise.all(['Ann', 'Bob', 'Eve'].map(page))).toEqual(['Ann', 'Bob', 'Eve'])
    // Nor do they wait for each other.
    expect(most).toBe(2)
    expect(outcomes()).toEqual(['box:bypass', 'box:bypass', 'box:bypass'])
  })

  it('is given to nobody who waits for it in another session', async () => {
    const engine = setUp(false)
    const page = (name: string) =>
      renderDeferred(() =>
        engine.tag(
          'box',
          { name },
          () => read('user', name) + engine.tag('far', ann, () => '!', { using: 'far' }),
          { using },
        ),
      )
    expect(await Promise.all(['Ann', 'Bob', 'Eve'].map(page))).toEqual(['Ann!', 'Bob!', 'Eve!'])
  })
})

describe('guard rails', () => {
  it('are strict unless it is production or says otherwise', () => {
    const isStrict = (given?: boolean) => {
      const engine = new HoleEngine((caches) => new FragmentCache(caches, { strict: given }))
      try {
        engine.tag('box', ann, () => read('user'))
        return false
      } catch {
        return true
      }
    }
    vi.stubEnv('NODE_ENV', 'development')
    expect([isStrict(), isStrict(true), isStrict(false)]).toEqual([true, true, false])
    vi.stubEnv('NODE_ENV', undefined)
    expect(isStrict()).toBe(true)
    vi.stubEnv('NODE_ENV', 'production')
    expect([isStrict(), isStrict(true), isStrict(false)]).toEqual([false, true, false])
  })

  it('take the inputs of a fragment from code as they are given', async () => {
    const { fragments } = setUp(true)
    const render = (inputs: readonly string[] | undefined) =>
      fragments.render({ name: 'box', timeout: 0, inputs }, () => read('user'))
    expect(await render(['user'])).toBe('user')
    await expect(render(['session'])).rejects.toThrow(/reads "user"/)
    // A tag's arguments are no business of a fragment that is rendered while they are evaluated.
    beginVaryOn()
    noteRead('user')
    await expect(render(undefined)).rejects.toThrow(/reads "user"/)
    endVaryOn()
    await expect(render(7 as never)).rejects.toThrow(/^inputs: 7 is not a list of names/)
    await expect(render([7] as never)).rejects.toThrow(/^inputs: .* is not a list of names/)
  })

  it('take what is read of a visitor between the first and the last vary-on value, and no more', () => {
    const declared = (...steps: (() => void)[]) => {
      beginVaryOn()
      for (const step of steps) step()
      return [...(endVaryOn() ?? [])]
    }
    const note = (input: string) => () => noteRead(input)
    noteRead('user')
    expect(declared()).toEqual([])
    expect(declared(note('user'), note('session'), note('user'))).toEqual(['user', 'session'])
    expect(declared()).toEqual([])
    // A tag met in between takes what is its own.
    const inner: string[][] = []
    const tag = () => void inner.push(declared(note('cookies')))
    expect(declared(note('user'), tag, note('session'))).toEqual(['user', 'session'])
    expect(inner).toEqual([['cookies']])
    // One whose values throw leaves nothing to those after it.
    const fail = () => {
      declared(note('cookies'), () => {
        throw new Error('no value')
      })
    }
    for (let i = 0; i < 100; i++) expect(fail).toThrow('no value')
    expect(declared(note('user'))).toEqual(['user'])
    expect(declared()).toEqual([])
    // Values that are evaluated apart.
    beginVaryOn()
    noteRead('user')
    const first = endVaryOn()
    beginVaryOn()
    expect([...(endVaryOn(first) ?? [])]).toEqual(['user'])
    beginVaryOn()
    noteRead('cookies')
    expect([...(endVaryOn(first) ?? [])]).toEqual(['user', 'cookies'])
  })

  it('take nothing of what is read in a body that is rendered for a value', () => {
    const { fragments } = setUp(false)
    beginVaryOn()
    noteRead('session')
    fragments.renderSync({ name: 'inner', timeout: 0 }, () => read('user'))
    noteRead('cookies')
    expect([...(endVaryOn() ?? [])]).toEqual(['session', 'cookies'])
  })

  it('hold across waiting, and never between renders that go on at the same time', async () => {
    const { fragments } = setUp(true)
    const render = (i: number) =>
      fragments.render(
        { name: 'box', timeout: 9, varyOn: [i], inputs: i % 2 === 0 ? ['user'] : [] },
        async () => {
          await delay(i % 7)
          return read('user')
        },
      )
    const results = await Promise.allSettled(Array.from({ length: 200 }, (_, i) => render(i)))
    expect(results.map(({ status }) => status)).toEqual(
      results.map((_, i) => (i % 2 === 0 ? 'fulfilled' : 'rejected')),
    )
  })

  it('keep a page from being stored that holds what must not be, and no other', () => {
    const engine = setUp(false)
    const page = new Frame(coreOf(engine.near), undefined, undefined)
    runSyncIn(page, () => read('user'))
    expect(page.isUnfit).toBe(false)
    runSyncIn(page, () => engine.tag('ok', ann, () => read('user'), reading('user')))
    expect(page.isUnfit).toBe(false)
    runSyncIn(page, () => engine.tag('box', ann, () => read('user')))
    expect(page.isUnfit).toBe(true)
  })

  it('reach what is rendered before its fragment is known to be needed', () => {
    const engine = setUp(false)
    const fragment = resolveTag(
      engine.fragments,
      { fragment: 'box', remedy: '' },
      { timeout: 9, varyOn: [] },
    )
    const late = new LateFrame(coreOf(engine.near), undefined, fragment)
    runSyncIn(late, () => read('user'))
    const own = new TemplateFrame(coreOf(engine.near), undefined, undefined)
    late.attach(own)
    expect(own.isUnfit).toBe(true)
  })
})
