import { randomUUID } from 'node:crypto'
import { subscribe, unsubscribe } from 'node:diagnostics_channel'
import { setTimeout as sleep } from 'node:timers/promises'
import {
  createCaches,
  DummyCache,
  FragmentCache,
  LocMemCache,
  makeTemplateFragmentKey,
  type Cache,
  type Caches,
  type FragmentMessage,
} from 'fragcache'
import { describe, expect, it } from 'vitest'
import { AsyncTestCache } from '../support/async-cache.js'
import { etaWith } from './eta-driver.js'

/** Runs something and tells the fragments that took part, with what became of each. */
async function outcomesOf(action: () => unknown): Promise<string[]> {
  const outcomes: string[] = []
  const note = (message: unknown) => {
    const { name, outcome } = message as FragmentMessage
    outcomes.push(`${name} ${outcome}`)
  }
  subscribe('fragcache:fragment', note)
  try {
    await action()
  } finally {
    unsubscribe('fragcache:fragment', note)
  }
  return outcomes.sort()
}

const kinds: [string, () => Cache][] = [
  ['local memory', () => new LocMemCache()],
  ['an asynchronous cache', () => new AsyncTestCache()],
]

const inner = `<% cache 60 inner it.x tags=['item:' + it.x] %><%= it.x %><% endcache %>`

const ways: [string, string, Record<string, string>][] = [
  ['directly', `<% cache 60 outer %>(${inner})<% endcache %>`, {}],
  [
    'by an include',
    `<% cache 60 outer %>(<%~ await includeAsync('@part') %>)<% endcache %>`,
    { part: inner },
  ],
  [
    'by an include of an include after a wait',
    `<% cache 60 outer %>(<% await it.wait() %><%~ await includeAsync('@mid') %>)<% endcache %>`,
    { mid: `<% await it.wait() %><%~ await includeAsync('@part') %>`, part: inner },
  ],
  [
    'by a layout',
    `<% cache 60 outer %>(<%~ await includeAsync('@mid') %>)<% endcache %>`,
    { mid: `<% layout('@part') %>`, part: inner },
  ],
  [
    'by captureAsync',
    `<% cache 60 outer %>(<%~ await captureAsync(async () => { await it.wait() %>${inner}<% }) %>)<% endcache %>`,
    {},
  ],
  [
    'by concurrent includes',
    `<% cache 60 outer %>(<%~ (await Promise.all(['@none', '@part'].map((name) => includeAsync(name)))).join('') %>)<% endcache %>`,
    { none: '<% await it.wait() %>', part: `<% await it.wait() %>${inner}` },
  ],
  [
    'by a function of the data that renders by itself',
    `<% cache 60 outer %>(<%~ await it.render('@part', it) %>)<% endcache %>`,
    { part: inner },
  ],
]

describe.each(kinds)('a fragment inside another, over %s', (_, make) => {
  const wait = () => sleep(1)

  it.each(ways)(
    '%s: what invalidates the inner one invalidates the outer one',
    async (_, main, templates) => {
      const caches = createCaches({ default: make() })
      const eta = etaWith(caches, { main, ...templates })
      const render = async (template: string, data: object) => eta.renderAsync(template, data)
      const page = async () => expect(await render('@main', { x: 1, wait, render })).toBe('(1)')
      expect(await outcomesOf(page)).toEqual(['inner miss', 'outer miss'])
      expect(await outcomesOf(page)).toEqual(['outer hit'])
      await caches.invalidateTags(['item:1'])
      expect(await outcomesOf(page)).toEqual(['inner miss', 'outer miss'])
      expect(await outcomesOf(page)).toEqual(['outer hit'])
      await new FragmentCache(caches).invalidate('inner')
      expect(await outcomesOf(page)).toEqual(['inner miss', 'outer miss'])
      // And of a hit of the inner one as well.
      await new FragmentCache(caches).invalidate('outer')
      expect(await outcomesOf(page)).toEqual(['inner hit', 'outer miss'])
      await caches.invalidateTags(['item:1'])
      expect(await outcomesOf(page)).toEqual(['inner miss', 'outer miss'])
      await caches.invalidateTags(['item:2'])
      expect(await outcomesOf(page)).toEqual(['outer hit'])
    },
  )

  it('is not taken for an outer one of another render, or of one that is over', async () => {
    const caches = createCaches({ default: make() })
    const eta = etaWith(caches)
    const outer =
      '<% cache 60 outer it.n %>(<% await it.wait() %>)<% endcache %><% await it.wait() %>'
    const other = '<% cache 60 other it.x tags=["t"] %><% await it.wait() %>x<% endcache %>'
    await Promise.all([
      eta.renderStringAsync(outer, { n: 1, wait }),
      eta.renderStringAsync(other, { x: 1, wait }),
      eta.renderStringAsync(outer + other.replaceAll('it.x', '2'), { n: 2, wait }),
    ])
    await caches.invalidateTags(['t'])
    for (const n of [1, 2]) {
      expect(await outcomesOf(() => eta.renderStringAsync(outer, { n, wait }))).toEqual([
        'outer hit',
      ])
    }
  })

  it('is depended on by what code renders around the template', async () => {
    const caches = createCaches({ default: make() })
    const fragments = new FragmentCache(caches)
    const eta = etaWith(caches, { part: inner })
    const page = () =>
      fragments.render({ name: 'page', timeout: 60 }, async () => {
        await wait()
        return eta.renderAsync('@part', { x: 1 })
      })
    expect(await outcomesOf(page)).toEqual(['inner miss', 'page miss'])
    await caches.invalidateTags(['item:1'])
    expect(await outcomesOf(page)).toEqual(['inner miss', 'page miss'])
  })

  it('may be rendered by code inside a body', async () => {
    const caches = createCaches({ default: make() })
    const fragments = new FragmentCache(caches)
    const eta = etaWith(caches)
    const part = () =>
      fragments.render({ name: 'part', timeout: 60, tags: ['t'] }, async () => {
        await wait()
        return 'part'
      })
    const main = '<% cache 60 outer %>(<%= await it.part() %>)<% endcache %>'
    const page = () => eta.renderStringAsync(main, { part })
    expect(await outcomesOf(page)).toEqual(['outer miss', 'part miss'])
    await caches.invalidateTags(['t'])
    expect(await outcomesOf(page)).toEqual(['outer miss', 'part miss'])
  })

  it('whose key is that of the outer one gives the outer text', async () => {
    const eta = etaWith(createCaches({ default: make() }))
    const main = `<% cache 60 a %>1<% await it.wait() %><% cache 60 a %>2<% await it.wait() %><% endcache %>3<% endcache %>`
    for (let i = 0; i < 2; i++) expect(await eta.renderStringAsync(main, { wait })).toBe('123')
  })
})

describe('a fragment inside another, rendered synchronously', () => {
  const ways: [string, string, Record<string, string>][] = [
    ['directly', `<% cache 60 outer %>(${inner})<% endcache %>`, {}],
    [
      'by an include',
      `<% cache 60 outer %>(<%~ include('@part') %>)<% endcache %>`,
      { part: inner },
    ],
    [
      'by a layout of an include',
      `<% cache 60 outer %>(<%~ include('@mid') %>)<% endcache %>`,
      { mid: `<% layout('@part') %>`, part: inner },
    ],
    [
      'by capture in a callback',
      `<% cache 60 outer %><% [1].forEach(() => { %>(<%~ capture(() => { %>${inner}<% }) %>)<% }) %><% endcache %>`,
      {},
    ],
    [
      'by a function of the data that renders by itself',
      `<% cache 60 outer %>(<%~ it.render('@part', it) %>)<% endcache %>`,
      { part: inner },
    ],
  ]

  it.each(ways)(
    '%s: what invalidates the inner one invalidates the outer one',
    async (_, main, templates) => {
      const caches = createCaches({ default: new LocMemCache() })
      const eta = etaWith(caches, { main, ...templates })
      const render = (template: string, data: object) => eta.render(template, data)
      const page = () => expect(render('@main', { x: 1, render })).toBe('(1)')
      expect(await outcomesOf(page)).toEqual(['inner miss', 'outer miss'])
      expect(await outcomesOf(page)).toEqual(['outer hit'])
      await caches.invalidateTags(['item:1'])
      expect(await outcomesOf(page)).toEqual(['inner miss', 'outer miss'])
      await new FragmentCache(caches).invalidate('outer')
      expect(await outcomesOf(page)).toEqual(['inner hit', 'outer miss'])
      await caches.invalidateTags(['item:1'])
      expect(await outcomesOf(page)).toEqual(['inner miss', 'outer miss'])
    },
  )

  it('is not taken to be inside one whose body was left', async () => {
    const caches = createCaches({ default: new LocMemCache() })
    const eta = etaWith(caches)
    const leave = '<% for (;;) { %><% cache 60 left %><% break %><% endcache %><% } %>'
    const fail = '<% cache 60 left %><% throw 1 %><% endcache %>'
    expect(eta.renderString(leave, {})).toBe('')
    expect(() => eta.renderString(fail, {})).toThrow()
    const outer = `<% cache 60 outer %>${leave}<% endcache %>`
    expect(eta.renderString(outer + inner, { x: 1 })).toBe('1')
    await caches.invalidateTags(['item:1'])
    expect(await outcomesOf(() => eta.renderString(outer, { x: 1 }))).toEqual(['outer hit'])
  })
})

describe('a fragment in another cache than the one around it', () => {
  const main = `<% cache 60 page using='one' %>1<% cache 60 mid using=it.mid %>2<% cache 60 inner using='three' tags=['t'] %>3<% await it.wait() %><% endcache %><% endcache %><% endcache %>`

  it.each([
    ['one', 'asynchronous', 'asynchronous'],
    ['two', 'asynchronous', 'asynchronous'],
    ['two', 'at once', 'asynchronous'],
    ['two', 'asynchronous', 'at once'],
    ['two', 'at once', 'at once'],
  ])('is depended on all the same: %s, %s, %s', async (mid, outer, inside) => {
    const make = (kind: string): Cache =>
      kind === 'at once' ? new LocMemCache() : new AsyncTestCache()
    const caches = createCaches({
      default: new DummyCache(),
      one: make(outer),
      two: make(inside),
      three: make(inside),
    })
    const eta = etaWith(caches)
    const page = async () => {
      expect(await eta.renderStringAsync(main, { mid, wait: () => sleep(1) })).toBe('123')
    }
    expect(await outcomesOf(page)).toEqual(['inner miss', 'mid miss', 'page miss'])
    expect(await outcomesOf(page)).toEqual(['page hit'])
    await caches.invalidateTags(['t'])
    expect(await outcomesOf(page)).toEqual(['inner miss', 'mid miss', 'page miss'])
    expect(await outcomesOf(page)).toEqual(['page hit'])
  })
})

describe('outcomes', () => {
  const render = (caches: Caches, template: string, data: object = {}) =>
    outcomesOf(() =>
      etaWith(caches)
        .renderStringAsync(template, data)
        .catch(() => undefined),
    )

  it.each(kinds)('are told as they are, over %s', async (_, make) => {
    const caches = createCaches({ default: make() })
    const one = (body: string, args = '60 a') =>
      `<% for (;;) { %><% cache ${args} %>${body}<% endcache %><% break } %>`
    expect(await render(caches, one('<% break %>'))).toEqual(['a bypass'])
    expect(await render(caches, one('<% return %>'))).toEqual(['a bypass'])
    expect(await render(caches, one('<% throw 1 %>'))).toEqual(['a error'])
    expect(await render(caches, one('x', '0 a'))).toEqual(['a bypass'])
    expect(await render(caches, one('x', '60 a if=false'))).toEqual(['a bypass'])
    expect(await render(caches, one('x'))).toEqual(['a miss'])
    expect(await render(caches, one('x'))).toEqual(['a hit'])
    expect(await render(caches, one('x') + one('x', '60 b'))).toEqual(['a hit', 'b miss'])
  })

  it('name the key, the alias, the times and the template', async () => {
    const messages: FragmentMessage[] = []
    const note = (message: unknown) => messages.push(message as FragmentMessage)
    const caches = createCaches({ default: new LocMemCache(), local: new LocMemCache() })
    const eta = etaWith(caches, {
      page: '<% cache 60 a 1 using="local" %><% await it.wait() %><% endcache %>',
    })
    subscribe('fragcache:fragment', note)
    await eta.renderAsync('@page', { wait: () => sleep(20) })
    unsubscribe('fragcache:fragment', note)
    expect(messages).toEqual([
      {
        name: 'a',
        key: expect.stringMatching(/^template\.cache\.a\.[0-9a-f]{32}$/) as string,
        alias: 'local',
        outcome: 'miss',
        bodyMs: expect.any(Number) as number,
        durationMs: expect.any(Number) as number,
        template: '@page',
        cause: { code: 'not-stored', text: expect.any(String) as string },
      },
    ])
    expect(messages[0]?.bodyMs).toBeGreaterThan(15)
    expect(messages[0]?.durationMs).toBeGreaterThanOrEqual(messages[0]?.bodyMs ?? Infinity)
  })
})

describe('round trips over an asynchronous cache', () => {
  it('are one for each tag that was never met, and one for all that the last render met', async () => {
    const cache = new AsyncTestCache()
    const caches = createCaches({ default: cache })
    const eta = etaWith(caches)
    const main = '<% for (const x of it.xs) { %><% cache 60 a x %><%= x %><% endcache %><% } %>'
    const xs = Array.from({ length: 20 }, (_, i) => i)
    await eta.renderStringAsync(main, { xs: [100] })
    const { reads, writes } = cache
    await eta.renderStringAsync(main, { xs })
    expect(cache.reads - reads).toBe(20)
    // Each is claimed before its body runs, and stored after it.
    expect(cache.writes - writes).toBe(40)
    await eta.renderStringAsync(main, { xs })
    expect(cache.reads - reads).toBe(21)
    expect(cache.writes - writes).toBe(40)
    await new FragmentCache(caches).invalidate('a')
    const after = { reads: cache.reads, writes: cache.writes }
    await eta.renderStringAsync(main, { xs: xs.slice(1) })
    await eta.renderStringAsync(main, { xs })
    expect(cache.reads - after.reads).toBe(2)
  })

  it('are one read and one claim for tags whose arguments are told by the template, when nothing is known', async () => {
    const cache = new AsyncTestCache()
    const eta = etaWith(createCaches({ default: cache }))
    const main = Array.from(
      { length: 5 },
      (_, i) => `<% cache 60 a${i} it.user.name %><%= it.user.name %><% endcache %>`,
    ).join('')
    const page = () => eta.renderStringAsync(main, { user: { name: 'ann' } })
    expect(await page()).toBe('ann'.repeat(5))
    const { reads } = cache
    expect(await page()).toBe('ann'.repeat(5))
    expect(cache.reads - reads).toBe(1)
    const before = { reads: cache.reads, writes: cache.writes }
    expect(await eta.renderStringAsync(main, { user: { name: 'bob' } })).toBe('bob'.repeat(5))
    expect(cache.reads - before.reads).toBe(1)
    // One for the claims, and one for each text.
    expect(cache.writes - before.writes).toBe(6)
  })

  it.each(['invalidated', 'removed'] as const)(
    'are one more for what was found, once anything is being %s',
    async (what) => {
      const location = randomUUID()
      const [cache, other] = [new AsyncTestCache({ location }), new AsyncTestCache({ location })]
      const eta = etaWith(createCaches({ default: cache }))
      const main =
        '<% cache 60 a %>A<% endcache %><% it.between() %><% cache 60 b %>B<% endcache %>'
      const readsWith = async (between: () => void) => {
        const { reads } = cache
        expect(await eta.renderStringAsync(main, { between })).toBe('AB')
        return cache.reads - reads
      }
      await readsWith(() => undefined)
      expect(await readsWith(() => undefined)).toBe(1)
      let changed: Promise<unknown> | undefined
      const change = () => {
        changed = what === 'removed' ? cache.delete('any') : other.invalidateTags(['any'])
      }
      // To remove an entry takes a read too.
      expect(await readsWith(change)).toBe(what === 'removed' ? 3 : 2)
      await changed
    },
  )

  it('are one more once the page has waited, for what others have stored since', async () => {
    const location = randomUUID()
    const [cache, other] = [new AsyncTestCache({ location }), new AsyncTestCache({ location })]
    const eta = etaWith(createCaches({ default: cache }))
    const main =
      '<% cache 60 a %>A<% endcache %><% await it.between() %><% cache 60 b %>B<% endcache %>'
    expect(await eta.renderStringAsync(main, { between: () => undefined })).toBe('AB')
    const between = () => other.set(makeTemplateFragmentKey('b'), 'C')
    expect(await eta.renderStringAsync(main, { between })).toBe('AC')
  })

  it('are done when the page is', async () => {
    const cache = new AsyncTestCache()
    cache.latencyMs = 5
    const eta = etaWith(createCaches({ default: cache }))
    await eta.renderStringAsync('<% cache 60 a %>x<% endcache %>', {})
    expect(cache.storedKeys.some((key) => key.includes('template.cache.a.'))).toBe(true)
  })

  it('that fail cost the page nothing but its bodies', async () => {
    const cache = new AsyncTestCache()
    const eta = etaWith(createCaches({ default: cache }))
    const main = '<% cache 60 a %>x<% cache 60 b %>y<% endcache %><% endcache %>'
    const warned = new Promise((resolve) => process.once('warning', resolve))
    cache.failing = true
    for (let i = 0; i < 2; i++) {
      expect(await outcomesOf(() => eta.renderStringAsync(main, {}))).toEqual([
        'a bypass',
        'b bypass',
      ])
    }
    cache.failing = false
    expect(await outcomesOf(() => eta.renderStringAsync(main, {}))).toEqual(['a miss', 'b miss'])
    expect(await outcomesOf(() => eta.renderStringAsync(main, {}))).toEqual(['a hit'])
    expect(String(await warned)).toMatch(/fails/)
  })
})
