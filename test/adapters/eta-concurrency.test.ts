import { setTimeout as sleep } from 'node:timers/promises'
import { createCaches, LocMemCache, makeTemplateFragmentKey, type Cache } from 'fragcache'
import { describe, expect, it } from 'vitest'
import { countBodies } from '../conformance/fragment-suite.js'
import { AsyncTestCache } from '../support/async-cache.js'
import { etaWith } from './eta-driver.js'

const kinds: [string, () => Cache][] = [
  ['local memory', () => new LocMemCache()],
  ['an asynchronous cache', () => new AsyncTestCache()],
]

/** Lets others run, for so many turns of the event loop. */
async function turns(count: number): Promise<void> {
  for (let i = 0; i < count; i++) await new Promise(setImmediate)
}

/** Runs something and collects the rejections that nobody handles. */
async function unhandledIn(action: () => Promise<unknown>): Promise<unknown[]> {
  const unhandled: unknown[] = []
  const listeners = process.rawListeners('unhandledRejection')
  process.removeAllListeners('unhandledRejection')
  const note = (error: unknown) => unhandled.push(error)
  process.on('unhandledRejection', note)
  await action()
  await turns(20)
  process.off('unhandledRejection', note)
  for (const listener of listeners) process.on('unhandledRejection', listener as () => void)
  return unhandled
}

describe.each(kinds)('fragments rendered concurrently into one template, over %s', (_, make) => {
  const setUp = () => {
    const cache = make()
    return { cache, eta: etaWith(createCaches({ default: cache })) }
  }
  const key = (x: unknown) => makeTemplateFragmentKey('a', [x])

  it.each([
    [
      'bodies that wait',
      `<% await Promise.all(it.xs.map(async (x) => { %><li><% cache 9 a x %><%= (await it.load(x)).name %><% endcache %></li><% })) %>`,
    ],
    [
      'bodies of which the later one is done first',
      `<% await Promise.all(it.xs.map(async (x) => { %><% cache 9 a x %><% const { name } = await it.load(x, 9 - 3 * x) %><li><%= name %></li><% endcache %><% })) %>`,
    ],
    [
      'a body beside text',
      `<% await Promise.all([(async () => { %><% cache 9 a 1 %><% await it.load(1, 4) %>one<% endcache %><% })(), (async () => { await it.load(2, 2) %>two<% })()]) %>`,
    ],
    [
      'a body beside text that is captured',
      `<% const [, two] = await Promise.all([(async () => { %><% cache 9 a 1 %><% await it.load(1, 4) %>one<% endcache %><% })(), captureAsync(async () => { %>two<% await it.load(2, 9) })]) %>`,
    ],
    [
      'bodies of one key',
      `<% const row = async (x) => { %><% cache 9 a x %><% await it.load(x) %><%= x %><% endcache %><% }; await Promise.all([row(1), row(1)]) %>`,
    ],
    [
      'a body that is not awaited before the next one',
      `<% const row = async (x) => { %><% cache 9 a x %><% await it.load(x) %><%= x %><% endcache %><% }; const one = row(1); await row(2); await one %>`,
    ],
    [
      'bodies inside another one',
      `<% cache 9 outer %><% await Promise.all(it.xs.map(async (x) => { %><% cache 9 a x %><% await it.load(x) %><%= x %><% endcache %><% })) %><% endcache %>`,
    ],
    [
      'a recursion that is not awaited',
      `<% const node = async (x) => { %><% cache 9 a x %><%= x %><% await it.load(x); if (x < 3) node(x + 1); await it.load(x) %>.<% endcache %><% }; await node(1) %>`,
    ],
  ])('are found out and nothing wrong is stored: %s', async (_, template) => {
    const { cache, eta } = setUp()
    const load = async (x: number, count = 2) => {
      await turns(count)
      return { name: `n${x}` }
    }
    const unhandled = await unhandledIn(async () => {
      await expect(eta.renderStringAsync(template, { xs: [1, 2], load })).rejects.toThrow(
        /line 1, fragment "(a|outer)".*concurrently.*for\.\.\.of/,
      )
    })
    // Only a promise that the template itself does not look after may be left over.
    if (!template.includes('node(x + 1)')) expect(unhandled).toEqual([])
    const stored = await cache.getMany([key(1), key(2), key(3), makeTemplateFragmentKey('outer')])
    for (const [at, text] of stored) {
      expect(['n1', 'n2', '1', '2', '<li>n1</li>', '<li>n2</li>', 'one'], at).toContain(text)
      expect(text).toContain(at === key(1) ? /1|one/.exec(text as string)?.[0] : '2')
    }
    expect(stored.has(makeTemplateFragmentKey('outer'))).toBe(false)
    // And nothing is left behind: the next one works.
    const next = '<% for (const x of [1, 2]) { %><% cache 9 a x %><%= x %><% endcache %><% } %>'
    await cache.clear()
    expect(await eta.renderStringAsync(next, {})).toBe('12')
    expect(await eta.renderStringAsync(next, {})).toBe('12')
  })

  it('are fine one after the other', async () => {
    const { eta } = setUp()
    const template = `<% for (const x of it.xs) { %><li><% cache 9 a x %><%= (await it.load(x)).name %><% endcache %></li><% } %>`
    const load = async (x: number) => ({ name: `n${x}` })
    for (let i = 0; i < 2; i++) {
      expect(await eta.renderStringAsync(template, { xs: [1, 2], load })).toBe(
        '<li>n1</li><li>n2</li>',
      )
    }
  })

  it('are fine in templates of their own', async () => {
    const { eta } = setUp()
    eta.loadTemplate(
      '@item',
      '<li><% cache 9 a it.x %><%= await it.load(it.x) %><% endcache %></li>',
      {
        async: true,
      },
    )
    const template = `<% const items = await Promise.all(it.xs.map((x) => includeAsync('@item', { x }))) %><%~ items.join('') %>`
    const load = async (x: number) => {
      await turns(5 - x)
      return x
    }
    for (let i = 0; i < 2; i++) {
      expect(await eta.renderStringAsync(template, { xs: [1, 2, 3], load })).toBe(
        '<li>1</li><li>2</li><li>3</li>',
      )
    }
  })
})

describe.each(kinds)('a fragment that nobody waits for, over %s', (_, make) => {
  const late = `<% (async () => { %>a<% cache 9 a %><% await it.wait() %>b<% endcache %><% })() %>`
  const never = `<% (async () => { %><% cache 9 a %><% await new Promise(() => {}) %><% endcache %><% })() %>`

  it.each([late, `${late}c`, `<% await it.wait(); %>${late}`, never])(
    'fails the page, not the process: %s',
    async (template) => {
      const cache = make()
      const eta = etaWith(createCaches({ default: cache }))
      const unhandled = await unhandledIn(async () => {
        await expect(eta.renderStringAsync(template, { wait: () => turns(3) })).rejects.toThrow(
          /concurrently/,
        )
      })
      expect(unhandled).toEqual([])
      expect(await cache.has(makeTemplateFragmentKey('a'))).toBe(false)
    },
  )

  it('fails a synchronous page as well', async () => {
    const eta = etaWith(createCaches({ default: new LocMemCache() }))
    const unhandled = await unhandledIn(async () => {
      expect(() => eta.renderString(late, { wait: () => turns(3) })).toThrow(/concurrently/)
    })
    expect(unhandled).toEqual([])
  })
})

describe('a template that is left early', () => {
  it.each([
    ['by throwing', `<% throw new Error('no') %>`],
    ['by returning', `<% return 'text' %>`],
  ])('%s is done when its fragments are stored', async (_, end) => {
    const cache = new AsyncTestCache()
    cache.latencyMs = 3
    const eta = etaWith(createCaches({ default: cache }))
    const template = `<% cache 9 outer %><% cache 9 inner %>x<% endcache %><% endcache %>${end}`
    await eta.renderStringAsync(template, {}).catch(() => undefined)
    const { bodyRuns } = await countBodies(() => turns(30))
    expect(bodyRuns).toBe(0)
    const keys = ['inner', 'outer'].map((name) => makeTemplateFragmentKey(name))
    expect((await cache.getMany(keys)).size).toBe(2)
  })

  it('is told so if its texts were mixed up', async () => {
    const eta = etaWith(createCaches({ default: new AsyncTestCache() }))
    const template = `<% const row = async (x) => { %><% cache 9 a x %><%= x %><% endcache %><% }; await Promise.allSettled([row(1), row(2)]) %><% return __eta.res %>`
    await expect(eta.renderStringAsync(template, {})).rejects.toThrow(/concurrently/)
  })
})

describe('fragments in concurrent callbacks that do not wait', () => {
  it('work over local memory as without the tag', async () => {
    const eta = etaWith(createCaches({ default: new LocMemCache() }))
    const template = `<% await Promise.all(it.xs.map(async (x) => { const y = await it.load(x) %><li><% cache 9 a x %><%= y %><% endcache %></li><% })) %>`
    for (let i = 0; i < 2; i++) {
      expect(
        await eta.renderStringAsync(template, { xs: [1, 2], load: async (x: number) => x }),
      ).toBe('<li>1</li><li>2</li>')
    }
  })

  it('work in callbacks of synchronous functions over local memory', async () => {
    const eta = etaWith(createCaches({ default: new LocMemCache() }))
    const template = `<% it.xs.forEach((x) => { %><% cache 9 a x %><% const later = async () => { await null } %><%= x %><% cache 9 b x %>.<% endcache %><% endcache %><% }) %>`
    for (let i = 0; i < 2; i++) {
      expect(await eta.renderStringAsync(template, { xs: [1, 2] })).toBe('1.2.')
    }
  })
})

describe.each(kinds)('one key in concurrent renders, over %s', (_, make) => {
  it('runs one body, which the others wait for', async () => {
    const eta = etaWith(createCaches({ default: make() }))
    let bodies = 0
    const load = async () => {
      bodies++
      await turns(3)
      return 'text'
    }
    const template = 'a<% cache 9 a %>[<%= await it.load() %>]<% endcache %>b'
    const renders = Array.from({ length: 50 }, () => eta.renderStringAsync(template, { load }))
    expect(new Set(await Promise.all(renders))).toEqual(new Set(['a[text]b']))
    expect(bodies).toBe(1)
  })

  it('runs one body of two that stand around each other the other way round', async () => {
    const eta = etaWith(createCaches({ default: make() }))
    const wait = () => turns(2)
    const one = '<% cache 9 x %>x<% await it.wait() %><% cache 9 y %>y<% endcache %><% endcache %>'
    const two = '<% cache 9 y %>y<% await it.wait() %><% cache 9 x %>x<% endcache %><% endcache %>'
    const [first, second] = await Promise.all([
      eta.renderStringAsync(one, { wait }),
      eta.renderStringAsync(two, { wait }),
    ])
    expect([first, second].every((text) => /^(xy|xyx|yx|yxy)$/.test(text))).toBe(true)
  })

  it.each([
    ['left early', `<% if (it.leaves) break; %>`, 'a['],
    ['an early return', `<% if (it.leaves) return 'gone' %>`, 'gone'],
  ])('keeps nobody waiting for a body with %s', async (_, statement, left) => {
    const eta = etaWith(createCaches({ default: make() }))
    const template = `a<% for (;;) { %><% cache 9 a %>[<% await it.wait() %>${statement}x]<% endcache %><% break } %>`
    const wait = () => turns(3)
    const leaving = eta.renderStringAsync(template, { leaves: true, wait })
    const others = [1, 2].map(() => eta.renderStringAsync(template, { wait }))
    expect(await leaving).toBe(left)
    expect(await Promise.all(others)).toEqual(['a[x]', 'a[x]'])
    const { bodyRuns } = await countBodies(() =>
      eta.renderStringAsync(template, { leaves: true, wait }),
    )
    expect(bodyRuns).toBe(0)
  })
})

describe('many renders at once', () => {
  const page = `<% cache 60 page it.user %><h1><%= it.user %></h1><% for (const x of it.xs) { %><% cache 60 item x tags=['item:' + x] %>[<%= await it.load(x) %>]<% if (x % 3 === 0) { %><%~ await includeAsync('@note', { x }) %><% } %><% endcache %><% } %><% endcache %><% cache 60 foot %>foot<% endcache %>`
  const note = `<% cache 60 note it.x %>(note <%= it.x %>)<% endcache %>`
  const expected = (user: string, xs: number[]) =>
    `<h1>${user}</h1>${xs.map((x) => `[item ${x}]${x % 3 === 0 ? `(note ${x})` : ''}`).join('')}foot`

  it.each(kinds)('give each its own text, over %s of random latency', async (_, make) => {
    const cache = make()
    if (cache instanceof AsyncTestCache) {
      Object.defineProperty(cache, 'latencyMs', { get: () => Math.floor(Math.random() * 4) })
    }
    const caches = createCaches({ default: cache })
    const eta = etaWith(caches, { note, page })
    const load = async (x: number) => {
      if (x % 2 === 0) await sleep(Math.random() * 3)
      return `item ${x}`
    }
    const render = async (i: number) => {
      const user = `u${i % 10}`
      const xs = Array.from({ length: 5 }, (_, k) => ((i % 10) + k * 7) % 20)
      await sleep(Math.random() * 20)
      expect(await eta.renderAsync('@page', { user, xs, load })).toBe(expected(user, xs))
    }
    await Promise.all(Array.from({ length: 100 }, (_, i) => render(i)))
    const { bodyRuns } = await countBodies(() =>
      Promise.all(Array.from({ length: 10 }, (_, i) => render(i))),
    )
    expect(bodyRuns).toBe(0)
    await caches.invalidateTags(['item:7'])
    await render(1)
  })

  it.each(kinds)('loop ten thousand times, over %s', async (_, make) => {
    const eta = etaWith(createCaches({ default: make() }))
    const template = `<% for (let i = 0; i < 10000; i++) { %><% cache 900 a (i % 50) %><%= i % 50 %>,<% endcache %><% } %>`
    const text = Array.from({ length: 10_000 }, (_, i) => `${i % 50},`).join('')
    for (const bodies of [50, 0]) {
      const { outcome, bodyRuns } = await countBodies(() => eta.renderStringAsync(template, {}))
      expect(outcome).toBe(text)
      expect(bodyRuns).toBe(bodies)
    }
  })

  it('loop ten thousand times synchronously, each with another key', () => {
    const eta = etaWith(
      createCaches({ default: new LocMemCache({ options: { maxEntries: 20_000 } }) }),
    )
    const template = `<% for (let i = 0; i < 10000; i++) { %><% cache 900 a i %><%= i %>,<% endcache %><% } %>`
    const text = Array.from({ length: 10_000 }, (_, i) => `${i},`).join('')
    expect(eta.renderString(template, {})).toBe(text)
    expect(eta.renderString(template, {})).toBe(text)
  })
})
