import { createCaches, LocMemCache, type Cache } from 'fragcache'
import type { AdapterOptions } from 'fragcache/engine'
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest'
import { AsyncTestCache } from '../support/async-cache.js'
import { etaEngine, handlebarsEngine, nunjucksEngine } from './engines-under-test.js'

const engines = [
  ['Nunjucks', nunjucksEngine],
  ['Handlebars', handlebarsEngine],
  ['Eta', etaEngine],
] as const

const backends: readonly (readonly [string, () => Cache])[] = [
  ['local memory', () => new LocMemCache()],
  ['an asynchronous cache', () => new AsyncTestCache()],
]

const contextOf = (name: string) => ({
  user: { name, id: `id of ${name}` },
  session: { cart: `cart of ${name}`, theme: 'dark' },
  author: { name: 'the author' },
  title: 'title',
  /** A helper that reads the visitor for the template. */
  get greeting(): string {
    return `hello ${this.user.name}`
  },
})

const refused = (fragment: string, name: string) => ({
  code: 'FRAGCACHE_TAG',
  message: expect.stringMatching(new RegExp(`fragment "${fragment}".*reads "${name}"`)) as string,
})

describe.each(engines)('the option personal of %s', (_engine, { syntax, create }) => {
  const { cache, show, value, include, nocache } = syntax

  describe.each(backends)('over %s', (_backend, newCache) => {
    function setUp(templates: Readonly<Record<string, string>>, options: AdapterOptions) {
      const caches = createCaches({ default: newCache() })
      return async (name: string) => {
        const { renderAsync } = await create({ caches, templates, options })
        return renderAsync?.('main', contextOf(name))
      }
    }

    const strict = { personal: ['user', 'session.cart'], strict: true }
    const lenient = { ...strict, strict: false }

    it('refuses a body that reads what its values do not name, each time', async () => {
      const render = setUp({ main: cache('60 "f"', show('user.name')) }, strict)
      for (let i = 0; i < 2; i++)
        await expect(render('ann')).rejects.toMatchObject(refused('f', 'user'))
    })

    it('shows it, and does not store it, where the rules are not strict', async () => {
      const main = cache('60 "outer"', show('title') + cache('60 "f"', show('user.name')))
      const render = setUp({ main }, lenient)
      expect(await render('ann')).toBe('titleann')
      expect(await render('ben')).toBe('titleben')
    })

    it('allows what the values name, by the whole or by a part of it', async () => {
      const parts = [
        cache(`60 "a" ${value('user.id')}`, show('user.name')),
        cache(`60 "b" ${value('session.cart')}`, show('session.cart')),
      ]
      const render = setUp({ main: parts.join() }, strict)
      for (const name of ['ann', 'ben', 'ann'])
        expect(await render(name)).toBe(`${name},cart of ${name}`)
    })

    it('watches a part alone', async () => {
      const main = cache('60 "a"', show('session.theme')) + cache('60 "f"', show('session.cart'))
      await expect(setUp({ main }, strict)('ann')).rejects.toMatchObject(
        refused('f', 'session.cart'),
      )
      expect(await setUp({ main: cache('60 "a"', show('session.theme')) }, strict)('ann')).toBe(
        'dark',
      )
    })

    it('looks into what is included', async () => {
      const templates = { main: cache('60 "f"', include('part')), part: show('user.name') }
      await expect(setUp(templates, strict)('ann')).rejects.toMatchObject(refused('f', 'user'))
      const free = { main: cache('60 "f"', include('part')), part: show('title') }
      expect(await setUp(free, strict)('ann')).toBe('title')
    })

    it('looks at fragments in what is included', async () => {
      const templates = { main: include('part'), part: cache('60 "f"', show('user.name')) }
      await expect(setUp(templates, strict)('ann')).rejects.toMatchObject(refused('f', 'user'))
    })

    it('refuses what is around a fragment that names it', async () => {
      const main = cache('60 "outer"', cache(`60 "f" ${value('user.id')}`, show('user.name')))
      await expect(setUp({ main }, strict)('ann')).rejects.toMatchObject(refused('outer', 'user'))
    })

    it('looks through getters', async () => {
      const render = setUp({ main: cache('60 "f"', show('greeting')) }, strict)
      await expect(render('ann')).rejects.toMatchObject(refused('f', 'user'))
    })

    it('changes no byte, and reads nothing more where a fragment is found', async () => {
      const body = show('title') + show('greeting') + include('part')
      const templates = {
        main: show('title') + cache(`60 "f" ${value('user.id')}`, body),
        part: show('title'),
      }
      const runs: { texts: unknown[]; reads: string[] }[] = []
      for (const options of [{ personal: [] }, strict]) {
        const caches = createCaches({ default: newCache() })
        const { renderAsync } = await create({ caches, templates, options })
        const run = { texts: [] as unknown[], reads: [] as string[] }
        for (let i = 0; i < 2; i++) {
          run.reads.length = 0
          const variables = new Proxy(contextOf('ann'), {
            get: (target, name, receiver) => {
              run.reads.push(`get ${String(name)}`)
              return Reflect.get(target, name, receiver) as unknown
            },
            ownKeys: (target) => {
              run.reads.push('keys')
              return Reflect.ownKeys(target)
            },
          })
          run.texts.push(await renderAsync?.('main', variables))
        }
        runs.push(run)
      }
      expect(runs[0]?.texts).toEqual(['titletitlehello anntitle', 'titletitlehello anntitle'])
      expect(runs[1]).toEqual(runs[0])
    })

    it('leaves nocache blocks and what is around fragments alone', async () => {
      const main = `${show('user.name')} ${cache('60 "f"', show('title') + nocache?.('', show('user.name')))}`
      const render = setUp({ main }, strict)
      expect(await render('ann')).toBe('ann titleann')
      expect(await render('ben')).toBe('ben titleben')
    })

    it('goes on watching after a body that threw', async () => {
      const main = cache('60 "a"', show('user.name')) + show('user.name')
      const render = setUp({ main }, strict)
      await expect(render('ann')).rejects.toMatchObject(refused('a', 'user'))
      await expect(render('ben')).rejects.toMatchObject(refused('a', 'user'))
    })
  })

  describe('left out', () => {
    const warnings: string[] = []
    beforeEach(() => {
      warnings.length = 0
      vi.spyOn(process, 'emitWarning').mockImplementation(((text: string, options: object) => {
        if ((options as { code?: string }).code === 'FRAGCACHE_PERSONAL_READ') warnings.push(text)
      }) as never)
    })
    afterEach(() => {
      vi.restoreAllMocks()
      vi.unstubAllEnvs()
    })

    const render = async (
      name: string,
      body: string,
      options: AdapterOptions = {},
      context: Record<string, unknown> = contextOf('ann'),
    ) => {
      const main = cache(`60 "${name}"`, body)
      const caches = createCaches({ default: new LocMemCache() })
      const { renderAsync } = await create({ caches, templates: { main }, options })
      await renderAsync?.('main', context)
      await renderAsync?.('main', context)
    }

    it.each([
      ['user', 'currentUser', 'session', 'csrfToken', '_csrf'],
      ['flash', 'visitor', 'account', 'cart'],
    ])('warns once of each usual name, with its place and the remedy: %s', async (...names) => {
      for (const name of names) {
        const context = { [name]: `the ${name}` }
        await render(`usual-${name}-${_engine}`, show(name) + show(name), {}, context)
      }
      // Handlebars compiles a text, of which it knows no name.
      const place = _engine === 'Handlebars' ? '' : '@?main, '
      const of = (name: string) =>
        `^fragment "usual-${name}-\\w+" \\(${place}line 1\\): its body reads "${name}".*vary-on.*nocache.*personal: \\[\\]`
      expect(warnings).toEqual(
        names.map((name) => expect.stringMatching(new RegExp(of(name))) as string),
      )
    })

    it('says nothing where the name is given nothing, in production, or where it is told to', async () => {
      await render(`absent-${_engine}`, show('account'), {}, { account: '' })
      await render(`silent-${_engine}`, show('user.name'), { personal: [] })
      await render(`free-${_engine}`, show('title'))
      vi.stubEnv('NODE_ENV', 'production')
      await render(`production-${_engine}`, show('user.name'))
      expect(warnings).toEqual([])
    })
  })

  it.each([
    ['user', 'user'],
    [[''], ''],
    [['a..b'], 'a..b'],
    [[5], '5'],
  ])('refuses %j as no list of names', (personal, shown) => {
    const make = () =>
      create({
        caches: createCaches({ default: new LocMemCache() }),
        templates: {},
        options: { personal },
      } as never)
    expect(make).toThrow(TypeError)
    expect(make).toThrow(
      new RegExp(`^personal: .*${shown.replaceAll('.', '\\.')}.*'session\\.cart'`),
    )
  })
})
