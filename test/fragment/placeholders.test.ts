import { describe, expect, it } from 'vitest'
import { currentSession, renderDeferred, renderInSession } from '../../src/fragment/deferred.js'
import { resolveTag } from '../../src/fragment/render.js'
import { createCaches, FragmentCache, LocMemCache } from '../../src/index.js'
import { AsyncTestCache } from '../support/async-cache.js'

function setUp() {
  const far = new AsyncTestCache()
  const fragments = new FragmentCache(createCaches({ default: far, near: new LocMemCache() }))
  const bodies: string[] = []
  const tag = (name: string, body: () => string, using = 'default', capture?: () => string) => {
    const site = { fragment: name, template: 'page', line: 1, remedy: 'render asynchronously' }
    const session = currentSession()
    if (session === undefined) throw new Error('no session')
    const counted = (run: () => string) => () => {
      bodies.push(name)
      return run()
    }
    return renderInSession(
      session,
      resolveTag(fragments, site, { timeout: 60, varyOn: [], using }),
      { renderBody: counted(body), ...(capture && { keepBody: () => counted(capture) }) },
    )
  }
  const change = (text: string, how: (text: string) => string) =>
    currentSession()?.deferred.change(text, how) ?? how(text)
  return { far, fragments, tag, change, bodies }
}

describe('a placeholder that something altered', () => {
  it.each<[string, (text: string) => string]>([
    ['trimmed', (text) => text.trim()],
    ['put in upper case', (text) => text.toUpperCase()],
    ['escaped', (text) => text.replaceAll('<', '&lt;')],
    ['quoted', (text) => JSON.stringify(text)],
    ['stripped of markup', (text) => text.replace(/<[^>]*>/g, '')],
    ['cut at its end', (text) => text.slice(0, 20)],
    ['cut at its beginning', (text) => text.slice(-20)],
    ['wrapped', (text) => text.replaceAll(' ', '\n')],
    ['encoded for a URL', (text) => encodeURIComponent(text)],
    ['given no number for its index', (text) => text.replace(/-\d+ (<.*>) \d+-/, '-NaN $1 NaN-')],
  ])('is an error that names the tag when it was %s', async (_, alter) => {
    const { tag, bodies } = setUp()
    await expect(renderDeferred(() => `a${alter(tag('x', () => 'text'))}b`)).rejects.toThrow(
      /^cache tag \(page, line 1, fragment "x"\): its output was altered/,
    )
    expect(bodies).toEqual([])
  })

  it('is an error where a text is changed and again where it stands inside another body', async () => {
    const { tag, change } = setUp()
    const inner = () =>
      change(
        tag('x', () => 'text'),
        (text) => `[${text}]`,
      )
    await expect(renderDeferred(() => inner().trim())).rejects.toThrow(/fragment "x".*altered/)
    await expect(renderDeferred(() => tag('o', () => inner().trim()))).rejects.toThrow(/"x".*alter/)
  })

  it('is an error in another render, whether that one has placeholders or not', async () => {
    const { tag } = setUp()
    let carried = ''
    await renderDeferred(() => {
      carried = tag('x', () => 'text')
      return ''
    })
    const stray = /fragment "x".*carried into another render/
    await expect(renderDeferred(() => `<${carried}>`)).rejects.toThrow(stray)
    await expect(renderDeferred(() => carried + tag('y', () => 'y'))).rejects.toThrow(stray)
    await expect(renderDeferred(() => tag('z', () => carried))).rejects.toThrow(stray)
  })
})

describe('a text that is changed', () => {
  it('is changed at once without a placeholder, and else once those in it are filled', async () => {
    const { tag, change } = setUp()
    const quote = (text: string) => change(text, (full) => full.replace(/^/gm, '> '))
    const page = () => quote(`a\n${quote(`b\n${tag('x', () => 'x\ny')}`)}\n${quote('c')}`)
    const expected = '> a\n> > b\n> > x\n> > y\n> > c'
    expect(await renderDeferred(page)).toBe(expected)
    expect(await renderDeferred(page)).toBe(expected)
  })

  it('leaves what is stored as it was, and costs no further round trip', async () => {
    const { far, fragments, tag, change } = setUp()
    const loud = (text: string) => change(text, (full) => full.toUpperCase())
    await renderDeferred(() => loud(tag('x', () => 'x')) + tag('y', () => 'y'))
    expect(far.reads).toBe(1)
    expect(await far.get(fragments.makeKey('x'))).toBe('x')
    await renderDeferred(() => tag('outer', () => loud(tag('x', () => 'x'))))
    expect(await far.get(fragments.makeKey('outer'))).toBe('X')
  })
})

describe('a body that is captured', () => {
  it('is captured at the tag and only where it runs later', async () => {
    const { tag } = setUp()
    let now = 1
    const one = (using: string) => {
      const at = now++
      return tag(
        using,
        () => `in place ${at}`,
        using,
        () => `late ${at}`,
      )
    }
    expect(await renderDeferred(() => `${one('near')}, ${one('default')}`)).toBe(
      'in place 1, late 2',
    )
  })
})

describe('renders inside each other', () => {
  it('fill what one carries to the other, and write once', async () => {
    const { far, tag } = setUp()
    const html = await renderDeferred(async () => {
      let aside = ''
      const view = await renderDeferred(() => {
        aside = tag('script', () => 'S')
        return tag('view', () => 'V')
      })
      return renderDeferred(() => `${view}|${aside}|${tag('layout', () => 'L')}`)
    })
    expect(html).toBe('V|S|L')
    // Two levels: each is read, claimed and written once.
    expect([far.reads, far.writes]).toEqual([2, 4])
  })
})

describe('a fragment rendered in place around one that comes later', () => {
  const page = (tag: ReturnType<typeof setUp>['tag']) =>
    tag('outer', () => `o(${tag('inner', () => 'i')})`, 'near')

  it('lets others go on when something drops it', async () => {
    const { tag, bodies } = setUp()
    expect(await renderDeferred(() => (page(tag), 'dropped'))).toBe('dropped')
    expect(await renderDeferred(() => page(tag))).toBe('o(i)')
    expect(bodies).toEqual(['outer', 'outer', 'inner'])
  })

  it('lets a second one of its key in the same render go on when the first is dropped', async () => {
    const { tag, bodies } = setUp()
    const twice = () => {
      page(tag)
      return page(tag)
    }
    expect(await renderDeferred(twice)).toBe('o(i)')
    expect(await renderDeferred(() => tag('around', twice))).toBe('o(i)')
    expect(bodies.filter((name) => name === 'around')).toHaveLength(1)
  })

  it('lets another render go on that the first one waits for', async () => {
    const { tag } = setUp()
    const second = renderDeferred(() => tag('shared', () => `s${page(tag)}`))
    const first = renderDeferred(() => {
      page(tag)
      return tag('shared', () => 's')
    })
    expect(await Promise.all([first, second])).toEqual(['so(i)', 'so(i)'])
  })

  it('is filled where its placeholder was carried to, though nobody could wait for it', async () => {
    const { tag, fragments } = setUp()
    const html = await renderDeferred(async () => {
      let aside = ''
      const view = await renderDeferred(() => {
        aside = page(tag)
        return tag('view', () => 'V')
      })
      return `${view}${aside}`
    })
    expect(html).toBe('Vo(i)')
    expect(await fragments.caches.get('near').get(fragments.makeKey('outer'))).toBe('o(i)')
  })

  it('lets others go on when its template throws', async () => {
    const { tag } = setUp()
    const boom = () => {
      page(tag)
      throw new Error('boom')
    }
    await expect(renderDeferred(boom)).rejects.toThrow('boom')
    expect(await renderDeferred(() => page(tag))).toBe('o(i)')
  })
})
