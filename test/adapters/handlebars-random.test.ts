import { registerCache } from 'fragcache/handlebars'
import Handlebars from 'handlebars'
import { afterAll, beforeAll, describe, expect, it, vi } from 'vitest'
import { createCaches, LocMemCache, type Cache, type Caches } from '../../src/index.js'
import { AsyncTestCache } from '../support/async-cache.js'
import { makeRandomCase, makeRandomContext, type RandomCase } from './handlebars-random.js'

/** Once `FRAGCACHE_SEEDS=1000-3000`, to look further. */
const [from = 0, to = 40] = (process.env['FRAGCACHE_SEEDS'] ?? '')
  .split('-')
  .filter(Boolean)
  .map(Number)

/** Longer pages say nothing more and take long. */
const MAX_LENGTH = 60_000

interface Renders {
  /** Which calls of `boom` throw, by what they are given. */
  fails: (call: number) => boolean
  readonly sync: (visitor?: string) => string
  readonly async: (visitor?: string) => Promise<string>
}

/**
 * Sets a case up. Its tags vary on what their body gives without the cache, so that every stored
 * text has one right place, and a body that gives something else when it runs late is seen.
 *
 * @param caches - Left out: Handlebars alone, without the tag.
 */
function setUp(one: RandomCase, caches?: Caches): Renders {
  const handlebars = Handlebars.create()
  const registered = caches && registerCache(handlebars, caches)
  const cache = handlebars.helpers['cache']
  const nocache = handlebars.helpers['nocache']
  let isPeeking = false
  const peek = (body: () => string) => {
    isPeeking = true
    try {
      return `${body()}`
    } finally {
      isPeeking = false
    }
  }
  handlebars.registerHelper({
    cached(this: unknown, timeout: number, name: string, options: Handlebars.HelperOptions) {
      // What Handlebars gives helpers for a missing context; without the tag it stays missing.
      const isMissing = typeof this === 'object' && this !== null && Object.isSealed(this)
      const body = () => options.fn(isMissing ? undefined : this)
      if (isPeeking || cache === undefined) return body()
      return cache.call(this, timeout, name, peek(body), options) as string
    },
    nocache(this: unknown, ...args: unknown[]) {
      // What stands in holes is no part of what is kept.
      if (isPeeking) return ''
      if (nocache !== undefined) return Reflect.apply(nocache, this, args) as string
      const isMissing = typeof this === 'object' && this !== null && Object.isSealed(this)
      return `${(args.at(-1) as Handlebars.HelperOptions).fn(isMissing ? undefined : this)}`
    },
    boom(call: number) {
      if (!isPeeking && renders.fails(call)) throw new Error('boom')
      return `b${call}`
    },
    attempt(this: unknown, { fn }: Handlebars.HelperOptions) {
      try {
        return fn(this)
      } catch (error) {
        if ((error as Error).message !== 'boom') throw error
        return '[caught]'
      }
    },
    show: (value: unknown) => String(value),
    wrap(this: unknown, { fn }: Handlebars.HelperOptions) {
      return `[${fn(this)}]`
    },
    turns(this: unknown, { fn, data }: Handlebars.HelperOptions) {
      const frame = Handlebars.createFrame(data) as { turn: number }
      return [0, 1].map((turn) => fn(this, { data: Object.assign(frame, { turn }) })).join('')
    },
  })
  const compile = (source: string) =>
    one.precompiled
      ? handlebars.template(
          (0, eval)(
            `(${handlebars.precompile(source, { ...one.options }) as string})`,
          ) as TemplateSpecification,
        )
      : handlebars.compile(source, { ...one.options })
  const toPartial = (source: string) => {
    if (caches === undefined) return oncePerDepth(() => compile(source))
    return one.precompiled ? compile(source) : source
  }
  const partials = Object.fromEntries(
    Object.entries(one.partials).map(([name, source]) => [name, toPartial(source)]),
  )
  handlebars.registerPartial('slot', 'default slot')
  if (!one.runtimePartials) handlebars.registerPartial(partials)
  const options = one.runtimePartials
    ? { partials: partials as Record<string, Handlebars.Template> as never }
    : {}
  const template = compile(one.main)
  const renders: Renders = {
    fails: () => false,
    sync: (visitor) => template(makeRandomContext(visitor), options),
    async: async (visitor) =>
      (await registered?.renderAsync(template, makeRandomContext(visitor), options)) ?? '',
  }
  return renders
}

/**
 * A template for each time the partial is inside itself: by itself, Handlebars lets the inner call
 * change what the outer one looks partials up in.
 */
function oncePerDepth(make: () => Handlebars.TemplateDelegate): Handlebars.TemplateDelegate {
  const templates: Handlebars.TemplateDelegate[] = []
  let depth = 0
  return (context, options) => {
    const template = (templates[depth++] ??= make())
    try {
      return template(context, options)
    } finally {
      depth--
    }
  }
}

function renderPlain(one: RandomCase, visitor?: string): string | undefined {
  try {
    const plain = setUp(one).sync(visitor)
    return plain.length > MAX_LENGTH ? undefined : plain
  } catch {
    // Handlebars itself cannot render it, as a `../` beyond the root.
    return undefined
  }
}

const near = () => new LocMemCache({ options: { maxEntries: 10_000 } })
const far = () => new AsyncTestCache()
const cachesOf = (make: () => Cache, makeLocal = make) =>
  createCaches({ default: make(), local: makeLocal() })

describe('templates made at random', () => {
  let logged = 0
  beforeAll(() => {
    // Handlebars says of every property of a prototype once that it is refused.
    vi.spyOn(Handlebars.logger, 'log').mockImplementation(() => void logged++)
  })
  afterAll(() => void vi.restoreAllMocks())

  const seeds = Array.from({ length: to - from }, (_, i) => from + i)
  let rendered = 0
  it.each(seeds)('number %i gives the same over every cache as without the tag', async (seed) => {
    const one = makeRandomCase(seed)
    const plain = renderPlain(one)
    if (plain === undefined) return
    rendered++
    const inPlace = setUp(one, cachesOf(near))
    expect(inPlace.sync(), 'local memory, cold').toBe(plain)
    expect(inPlace.sync(), 'local memory, warm').toBe(plain)
    expect(await inPlace.async(), 'local memory, asynchronously, warm').toBe(plain)
    expect(await setUp(one, cachesOf(near)).async(), 'local memory, asynchronously').toBe(plain)
    const late = setUp(one, cachesOf(far))
    expect(await late.async(), 'asynchronous, cold').toBe(plain)
    expect(await late.async(), 'asynchronous, warm').toBe(plain)
    const mixed = setUp(one, cachesOf(far, near))
    expect(await mixed.async(), 'mixed, cold').toBe(plain)
    expect(await mixed.async(), 'mixed, warm').toBe(plain)
    const crowd = setUp(one, seed % 2 === 0 ? cachesOf(far) : cachesOf(far, near))
    const pages = await Promise.all([crowd.async(), crowd.async(), crowd.async()])
    expect(pages, 'three at once').toEqual([plain, plain, plain])
  })

  it('are mostly ones that Handlebars can render', () => {
    expect(rendered).toBeGreaterThan(seeds.length * 0.75)
  })

  const outcomes = { thrown: 0, caught: 0, whole: 0 }
  it.each(seeds)('number %i with errors in it fails, or is caught, as without', async (seed) => {
    const one = makeRandomCase(seed, 'errors')
    const whole = renderPlain(one)
    if (whole === undefined) return
    const fails = (call: number) => (call * 7 + seed) % 3 === 0
    const outcomeOf = async (render: () => unknown) => {
      try {
        return String(await render())
      } catch (error) {
        expect(error).toHaveProperty('message', 'boom')
        return 'thrown'
      }
    }
    const failing = (caches?: Caches) => Object.assign(setUp(one, caches), { fails })
    const plain = failing()
    const outcome = await outcomeOf(() => plain.sync())
    outcomes[outcome === 'thrown' ? 'thrown' : outcome === whole ? 'whole' : 'caught']++
    const catches = JSON.stringify(one).includes('#attempt')
    const near1 = failing(cachesOf(near))
    expect(await outcomeOf(() => near1.sync()), 'local memory, cold').toBe(outcome)
    expect(await outcomeOf(() => near1.sync()), 'local memory, again').toBe(outcome)
    expect(await outcomeOf(() => near1.async()), 'local memory, asynchronously').toBe(outcome)
    const late = failing(seed % 2 === 0 ? cachesOf(far) : cachesOf(far, near))
    // A body that runs when its template is done is beyond a helper that catches.
    const late1 = await outcomeOf(() => late.async())
    if (!catches || late1 !== 'thrown') expect(late1, 'asynchronous, cold').toBe(outcome)
    expect(await outcomeOf(() => late.async()), 'asynchronous, again').toBe(late1)
    if (catches) return
    for (const renders of [near1, late]) {
      renders.fails = () => false
      expect(await renders.async(), 'once nothing fails').toBe(whole)
      expect(await renders.async(), 'once nothing fails, warm').toBe(whole)
    }
  })

  it('with errors throw, catch, and are left whole', () => {
    expect(Math.min(...Object.values(outcomes))).toBeGreaterThan(0)
  })

  let same = 0
  let refused = 0
  it.each(seeds)('number %i with holes gives each visitor theirs, or is refused', async (seed) => {
    const one = makeRandomCase(seed, 'holes')
    const plain = ['A', 'B'].map((visitor) => renderPlain(one, visitor))
    if (plain.includes(undefined)) return
    for (const caches of [cachesOf(near), cachesOf(far), cachesOf(far, near)]) {
      let site: ReturnType<typeof setUp> | undefined
      for (const visitor of [0, 1, 0, 1]) {
        const render = async () => (site ??= setUp(one, caches)).async('AB'[visitor])
        const text = await render().catch((error: unknown) => {
          expect(error).toHaveProperty('code', 'FRAGCACHE_TAG')
          return undefined
        })
        if (text === undefined) refused++
        else {
          same++
          expect(text).toBe(plain[visitor])
        }
      }
    }
  })

  it('with holes are neither mostly refused nor never', () => {
    expect(same).toBeGreaterThan(refused / 4)
    expect(refused).toBeGreaterThan(0)
  })
})
