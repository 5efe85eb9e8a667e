import type { RequestListener } from 'node:http'
import type { Express, Request, RequestHandler, Response } from 'express'
import { createCaches, LocMemCache, type Caches } from 'fragcache'
import { responseCache, type ResponseCache, type ResponseCacheOptions } from 'fragcache/express'
import { afterEach, describe, expect, it, vi } from 'vitest'
import { AsyncTestCache } from './async-cache.js'
import { eventually, expressVersions, oneExpress, Site, type Answer } from './express.js'
import { naiveCache, type NaiveOptions } from './naive-cache.js'
import { settle } from './waiting.js'

export type View = (req: Request, res: Response) => unknown

/** A view with a state, made again for each run of an attack. */
export interface FreshView {
  readonly make: () => View
}

/** What an attack is made on. */
export interface Target {
  readonly site: Site
  /** The keys of what the cache holds. */
  readonly keys: () => Promise<readonly string[]>
  /** Lets time pass for whoever asks for the date. */
  readonly advance: (seconds: number) => void
  /** Drops the pages of a path as the application would. */
  readonly invalidate: (path: string) => Promise<void>
}

/** An attack: it succeeds if somebody gets what was another's, or what nobody should get. */
export interface Attack {
  readonly name: string
  /** The advisory or the rule behind it. */
  readonly about: string
  readonly options?: ResponseCacheOptions
  /** What stands around the view, the cache among it. Default: the cache, then the view. */
  readonly layers?: (app: Express, cache: RequestHandler, view: RequestHandler) => void
  readonly view: View | FreshView
  readonly succeeds: (target: Target) => Promise<boolean>
  /** The simple cache that falls for it. Default: one by URL alone. */
  readonly naive?: NaiveOptions
  /** What it is about has no counterpart on one view, or on the whole site. */
  readonly only?: 'site' | 'view'
}

export const SECRET = 'the secret of alice'

/** Alice asks first, then Bob: does he get what is hers? */
export async function bobGetsSecret(
  { site }: Target,
  alice: Record<string, string> = { 'X-User': 'alice' },
  bob: Record<string, string> = { 'X-User': 'bob' },
): Promise<boolean> {
  await site.get('/p', { headers: alice })
  return (await site.get('/p', { headers: bob })).text.includes(SECRET)
}

/** Alice asks, then Bob: is one of them given what the other, or somebody before, was given? */
export async function someoneGetsAnothers(
  { site }: Target,
  alice: Record<string, string>,
  bob: Record<string, string>,
): Promise<boolean> {
  const { text } = await site.get('/p', { headers: alice })
  return text !== SECRET || (await site.get('/p', { headers: bob })).text.includes(SECRET)
}

/** A view that says to Alice what is hers, under these response headers. */
export function secretView(setHeaders: (res: Response) => void): View {
  return (req, res) => {
    setHeaders(res)
    res.end(req.headers['x-user'] === 'alice' ? SECRET : 'nothing')
  }
}

/** A view that is told which of its runs it is. */
export function countingView(
  answer: (run: number, req: Request, res: Response) => unknown,
): FreshView {
  return {
    make: () => {
      let runs = 0
      return (req, res) => answer(++runs, req, res)
    },
  }
}

/** Requests that are sent to meet others, and have not reached the server yet. */
let underWay = 0

/** Answers once all requests that are to meet this one have come, and have been looked up. */
export function slowly(answer: () => unknown): void {
  void eventually(() => underWay === 0)
    .then(settle)
    .then(answer)
}

/**
 * Sends requests that a view which answers `slowly` keeps waiting for each other.
 *
 * @param isInOrder - Each is sent when the one before has reached the server.
 */
export async function meeting(
  { site: { server } }: Target,
  requests: readonly (() => Promise<Answer | undefined>)[],
  isInOrder = true,
): Promise<readonly (Answer | undefined)[]> {
  underWay = requests.length
  const onRequest = () => void underWay--
  server.on('request', onRequest)
  try {
    const answers: Promise<Answer | undefined>[] = []
    for (const send of requests) {
      answers.push(send())
      if (isInOrder) await eventually(() => underWay === requests.length - answers.length)
    }
    return await Promise.all(answers)
  } finally {
    server.off('request', onRequest)
    underWay = 0
  }
}

/**
 * The attacks of a theme: they fail on ours and succeed elsewhere. What withstands them knows no
 * Express, so that one of its versions is attacked in every way that the cache can be mounted, and
 * the other in one.
 *
 * @param options - `inHalves`: also on `updateCache` and `fetchFromCache`; `later`: also over a
 *   cache that does not answer at once.
 */
export function describeAttacks(
  theme: string,
  attacks: readonly Attack[],
  { inHalves = false, later = false }: { readonly inHalves?: boolean; later?: boolean } = {},
): void {
  const inEveryWay = (version: (typeof expressVersions)[number]) => oneExpress.includes(version)

  describe.each(expressVersions)(`${theme}, on $version`, (version) => {
    const { express } = version
    afterEach(() => void vi.useRealTimers())

    async function attacked(attack: Attack, attacked: Attacked): Promise<boolean> {
      const app = express()
      app.set('env', 'test')
      const view = 'make' in attack.view ? attack.view.make() : attack.view
      const handler: RequestHandler = (req, res) => void view(req, res)
      if (attack.layers === undefined) app.use(attacked.cache, handler)
      else attack.layers(app, attacked.cache, handler)
      const site = await Site.open(attacked.inFront?.(app) ?? app)
      vi.useFakeTimers({ toFake: ['Date'] })
      return attack.succeeds({
        site,
        keys: attacked.keys,
        advance: (seconds) => void vi.setSystemTime(Date.now() + seconds * 1000),
        invalidate: (path) => attacked.invalidate(site.origin + path),
      })
    }

    function ours(
      attack: Attack,
      mount: (pages: ResponseCache) => Pick<Attacked, 'cache' | 'inFront'>,
      Backend: typeof LocMemCache | typeof AsyncTestCache = LocMemCache,
    ): Attacked {
      const { caches, keys } = observedCaches(Backend)
      const pages = responseCache(caches, attack.options)
      return { ...mount(pages), keys, invalidate: (url) => pages.invalidate(url) }
    }

    it.each(attacks.filter(({ only }) => only !== 'view'))(
      'withstands $name ($about)',
      async (attack) => {
        const target = ours(attack, (pages) => ({ cache: pages.cacheSite() }))
        expect(await attacked(attack, target)).toBe(false)
      },
    )

    if (!inEveryWay(version)) return

    it.each(attacks.filter(({ only }) => only !== 'site'))(
      'withstands $name on one view',
      async (attack) => {
        const target = ours(attack, (pages) => ({ cache: pages.cachePage(600) }))
        expect(await attacked(attack, target)).toBe(false)
      },
    )

    it.each(attacks.filter(({ only }) => only !== 'view'))(
      'withstands $name with a listener in front',
      async (attack) => {
        const target = ours(attack, (pages) => ({
          cache: pages.cacheSite(),
          inFront: (app) => pages.listener(app),
        }))
        expect(await attacked(attack, target)).toBe(false)
      },
    )

    it.each(inHalves ? attacks.filter(({ only }) => only !== 'view') : [])(
      'withstands $name in two halves',
      async (attack) => {
        const target = ours(attack, (pages) => ({
          cache: inTurn(pages.updateCache(), pages.fetchFromCache()),
        }))
        expect(await attacked(attack, target)).toBe(false)
      },
    )

    it.each(later ? attacks.filter(({ only }) => only !== 'view') : [])(
      'withstands $name over a cache that answers later',
      async (attack) => {
        const mount = (pages: ResponseCache) => ({ cache: pages.cacheSite() })
        expect(await attacked(attack, ours(attack, mount, AsyncTestCache))).toBe(false)
      },
    )

    it.each(attacks)('a simple cache falls for $name', async (attack) => {
      const { middleware: cache, kept } = naiveCache(attack.naive)
      const keys = () => Promise.resolve([...kept.keys()])
      const invalidate = () => Promise.resolve()
      expect(await attacked(attack, { cache, keys, invalidate })).toBe(true)
    })
  })
}

function inTurn(first: RequestHandler, second: RequestHandler): RequestHandler {
  return (req, res, next) => {
    first(req, res, (error?: unknown) => {
      if (error === undefined) second(req, res, next)
      else next(error)
    })
  }
}

/** A cache, ours or a simple one. */
interface Attacked {
  readonly cache: RequestHandler
  /** What the server calls in place of the application. */
  readonly inFront?: (app: Express) => RequestListener
  readonly keys: () => Promise<readonly string[]>
  readonly invalidate: (url: string) => Promise<void>
}

/** A cache whose keys can be seen. */
function observedCaches(Backend: typeof LocMemCache | typeof AsyncTestCache): {
  readonly caches: Caches
  readonly keys: () => Promise<readonly string[]>
} {
  const seen = new Set<string>()
  const keyFunction = (key: string, keyPrefix: string, version: number | string): string => {
    seen.add(key)
    return `${keyPrefix}:${version}:${key}`
  }
  const caches = createCaches({ default: new Backend({ keyFunction }) })
  const keys = async () => [...(await caches.default.getMany([...seen])).keys()]
  return { caches, keys }
}
