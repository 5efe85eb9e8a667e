/**
 * What an application may write, and what not. The compiler runs it, over the sources (`npm run typecheck`) and over
 * the packed types (`types.test.ts`); each `@ts-expect-error` is an error where there is none.
 */
import { Eta } from 'eta'
import express from 'express'
import { create, engine } from 'express-handlebars'
import {
  createCaches,
  FragmentCache,
  LocMemCache,
  type Cache,
  type Caches,
  type FragmentOptions,
  type ProducerContext,
} from 'fragcache'
import { cacheEngine as cacheEta, cachePlugin } from 'fragcache/eta'
import { responseCache as expressPages } from 'fragcache/express'
import { cacheEngine, registerCache } from 'fragcache/handlebars'
import { inspector } from 'fragcache/inspector'
import { responseCache } from 'fragcache/node'
import Handlebars from 'handlebars'
import hbs from 'hbs'

/** `true` only for the same type: `any` is none of the others. */
type Same<A, B> = (<T>() => T extends A ? 1 : 2) extends <T>() => T extends B ? 1 : 2 ? true : false
/** Compiles only if the value has this very type. */
const is =
  <A>() =>
  <B>(value: B, isSame: Same<A, B>): void =>
    void [value, isSame]

interface User {
  readonly name: string
}

const caches = createCaches({ default: new LocMemCache(), pages: new LocMemCache() })
const cache = caches.default

export async function aliases(given: string): Promise<void> {
  is<LocMemCache>()(cache, true)
  is<('default' | 'pages')[]>()(caches.aliases, true)
  is<Cache>()(caches.get('pages'), true)
  // @ts-expect-error: no such alias
  void caches.typo
  // @ts-expect-error: no such alias
  caches.get('typo')
  // @ts-expect-error: any text
  caches.get(given)
  if (caches.has(given)) caches.get(given)
  else given.toUpperCase()

  const fragments = new FragmentCache(caches)
  await fragments.render({ name: 'box', using: 'pages' }, () => '')
  // @ts-expect-error: no such alias
  await fragments.render({ name: 'box', using: 'typo' }, () => '')
  // @ts-expect-error: no such alias
  fragments.renderSync({ name: 'box', using: 'typo' }, () => '')
  // @ts-expect-error: no such alias
  await fragments.renderMany([{ name: 'box', using: 'typo', body: () => '' }])
  // @ts-expect-error: no such alias
  await fragments.delete('box', [], { using: 'typo' })
  // @ts-expect-error: no such alias
  await fragments.expire('box', [], { using: 'typo' })
  // @ts-expect-error: no such alias
  await fragments.invalidate('box', { using: 'typo' })

  const pages = expressPages(caches, { alias: 'pages', seconds: 60 })
  pages.cachePage(60, { cache: 'default' })
  // @ts-expect-error: no such alias
  pages.cachePage(60, { cache: 'typo' })
  // @ts-expect-error: no such alias
  expressPages(caches, { alias: 'typo' })
  const plain = responseCache(caches, { alias: 'pages' })
  plain.handler((_req, res) => res.end(), { cache: 'default' })
  // @ts-expect-error: no such alias
  plain.handler((_req, res) => res.end(), { cache: 'typo' })
  // @ts-expect-error: no such alias
  responseCache(caches, { alias: 'typo' })

  // What takes caches takes those of known aliases.
  registerCache(Handlebars, caches)
  registerCache(Handlebars, fragments)
  cachePlugin(fragments)
  inspector(caches, { pages })
}

/** Where the aliases come from elsewhere, and where a function takes any caches. */
export async function unknownAliases(given: string, configured: Record<string, LocMemCache>) {
  const any: Caches = caches
  is<Cache>()(any.get(given), true)
  if (!any.has(given)) given.toUpperCase()
  createCaches(configured).get(given)
  if (!createCaches(configured).has(given)) given.toUpperCase()
  const options: FragmentOptions = { name: 'box', using: given }
  await new FragmentCache(any).render(options, () => '')
  const fragments: FragmentCache = new FragmentCache(caches)
  await fragments.render(options, () => '')
  expressPages(any, { alias: given }).cachePage(60, { cache: given })
  expressPages<string>(caches, { alias: given })
}

export async function values<T>(
  generic: T,
  user: User,
  either: User | (() => User),
  whatever: unknown,
): Promise<void> {
  is<unknown>()(await cache.get('a'), true)
  is<User | undefined>()(await cache.get<User>('a', { version: 2 }), true)
  is<number>()(await cache.get('a', { default: 0 }), true)
  is<User>()(await cache.get<User>('a', { default: user }), true)
  is<User | null>()(await cache.get<User | null>('a', { default: null }), true)
  is<unknown>()(await cache.get('a', { default: undefined }), true)
  is<number | undefined>()(
    await cache.get<number>('a', { default: undefined as number | undefined }),
    true,
  )
  is<Promise<T>>()(cache.get('a', { default: generic }), true)
  // @ts-expect-error: not the type that was asked for
  await cache.get<User>('a', { default: 0 })

  await cache.set('a', user)
  await cache.set('a', null)
  await cache.set('a', generic)
  await cache.set('a', whatever)
  await cache.set('a', [new Map([['x', { at: new Date() }]])], { timeout: null })
  await cache.setMany({ a: 1, b: 'x', c: user })
  await cache.setMany([
    ['a', 1],
    ['b', 'x'],
  ])
  await cache.setMany(new Map<string, unknown>())
  await cache.setMany({ a: generic })
  await cache.getOrSet('a', () => user)
  is<User>()(await cache.getOrSet('a', async () => user), true)
  is<User>()(await cache.getOrSet('a', user), true)
  is<User>()(await cache.getOrSet('a', async ({ setTimeout }) => (setTimeout(5), user)), true)
  is<User>()(await cache.getOrSet<User>('a', ({ old }) => old ?? user), true)
  const again = async ({ old }: ProducerContext<User>) => old ?? user
  is<User>()(await cache.getOrSet('a', again), true)
  // @ts-expect-error: another type
  await cache.getOrSet<{ id: number }>('a', () => 1)
  // @ts-expect-error: a function
  await cache.set('a', () => user)
  // @ts-expect-error: a function
  await cache.add('a', () => user)
  // @ts-expect-error: a function
  await cache.setMany({ a: 1, b: () => user })
  // @ts-expect-error: a function
  await cache.setMany([['a', () => user]])
  // @ts-expect-error: a class
  await cache.set('a', LocMemCache)
  // @ts-expect-error: it may be a function
  await cache.set('a', either)
  // @ts-expect-error: a promise that was not awaited
  await cache.set('a', Promise.resolve(user))
  // @ts-expect-error: it may be undefined
  await cache.set('a', [user].at(0))
}

interface Shop {
  visits: number
  greeting: 'hello' | 'hi'
  [product: `product:${number}`]: { readonly price: number }
}

export async function typedKeys(id: number): Promise<void> {
  const shop = cache.typed<Shop>()
  is<number | undefined>()(await shop.get('visits'), true)
  is<number>()(await shop.get('visits', { default: 0 }), true)
  is<'hello' | 'hi'>()(await shop.get('greeting', { default: 'hi' }), true)
  is<{ readonly price: number } | null>()(await shop.get(`product:${id}`, { default: null }), true)
  is<number>()(await shop.getOrSet('visits', async () => 1, { timeout: 5 }), true)
  const found = await shop.getMany(['visits', 'greeting'])
  is<'hello' | 'hi' | undefined>()(found.get('greeting'), true)
  await shop.set('greeting', 'hello', { tags: ['texts'] })
  await shop.add(`product:${id}`, { price: 1 })
  await shop.setMany({ visits: 1, 'product:7': { price: 1 } })
  await shop.setMany([
    ['visits', 1],
    ['greeting', 'hi'],
  ])
  await shop.incr('visits')
  await shop.deleteMany([`product:${id}`])
  await shop.invalidateTags(['texts'])
  // @ts-expect-error: no such key
  await shop.get('vists')
  // @ts-expect-error: no such key
  await shop.delete('product:tea')
  // @ts-expect-error: another type
  await shop.set('visits', 'one')
  // @ts-expect-error: another type
  await shop.get('visits', { default: 'none' })
  // @ts-expect-error: another type
  await shop.getOrSet('visits', () => 'one')
  // @ts-expect-error: another type
  await shop.setMany({ visits: 'one' })
  // @ts-expect-error: another type
  await shop.setMany([['visits', 'one']])
  // @ts-expect-error: no number
  await shop.incr('greeting')
}

export function views(): void {
  const app = express()
  const handlebars = cacheEngine(create({ extname: '.hbs' }), caches)
  app.engine('hbs', handlebars)
  app.engine('handlebars', cacheEngine(create({ handlebars: Handlebars.create() }), caches))
  app.engine('hbs', cacheEngine(hbs, caches, { personal: ['user'] }))
  app.engine('hbs', cacheEngine(hbs.create(), new FragmentCache(caches)))
  const eta = cacheEta(new Eta({ cache: true }), caches)
  app.engine('eta', eta)
  const engines = [handlebars, eta]
  expressPages(caches, { holes: { engines, context: (req) => ({ lang: req.get('X-Lang') }) } })
  // @ts-expect-error: it does not tell its Handlebars
  cacheEngine(engine({ extname: '.hbs' }), caches)
  // @ts-expect-error: it finds no views
  cacheEngine(Handlebars, caches)
}
