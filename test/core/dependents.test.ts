import express from 'express'
import { expect, it } from 'vitest'
import { responseCache } from '../../adapters/express/index.js'
import { inspector } from '../../adapters/inspector/index.js'
import { createCaches, FragmentCache, LocMemCache } from '../../src/index.js'
import { Site } from '../support/express.js'

async function shop() {
  const caches = createCaches({ default: new LocMemCache(), pages: new LocMemCache() })
  const fragments = new FragmentCache(caches)
  const pages = responseCache(caches, { alias: 'pages' })
  const app = express()
  app.get('/products/:id', pages.cachePage(60), async (req, res) => {
    const { id } = req.params
    const options = {
      name: 'product',
      varyOn: [id],
      tags: [`product:${id}`, 'products'],
      timeout: 60,
      template: 'product.njk',
    }
    res.send(await fragments.render(options, () => `product ${id}`))
  })
  const site = await Site.open(app)
  for (let id = 1; id <= 7; id++) await site.get(`/products/${id}`)
  await caches.default.set('prices', [1, 2], { tags: ['products'] })
  await caches.default.getOrSet('stock', () => 7, { tags: ['product:1'] })
  return { caches, fragments, pages, site }
}

it('explainTags says what a tag would drop: fragments, pages that contain them, and values', async () => {
  const { caches, site } = await shop()
  expect(await caches.explainTags(['product:1'])).toEqual({
    entries: 3,
    fragments: [
      {
        name: 'product',
        templates: ['product.njk'],
        entries: 1,
        keys: [expect.stringContaining('template.cache.product.') as string],
      },
    ],
    pages: [{ route: 'GET /products/:id', entries: 1, urls: [`${site.origin}/products/1`] }],
    values: { entries: 1, keys: ['stock'] },
    isWhole: true,
  })
  const { entries, fragments, pages, values } = await caches.explainTags(['products'])
  expect(entries).toBe(15)
  expect(fragments[0]).toMatchObject({ name: 'product', entries: 7 })
  expect(fragments[0]?.keys).toHaveLength(5)
  expect(pages[0]).toMatchObject({ entries: 7 })
  expect(pages[0]?.urls).toHaveLength(5)
  expect(values).toEqual({ entries: 1, keys: ['prices'] })
})

it('is nothing once it is dropped, and drops nothing itself', async () => {
  const { caches, fragments, pages, site } = await shop()
  await caches.explainTags(['products'])
  expect((await site.get('/products/1')).cacheStatus).toContain('hit')
  await caches.invalidateTags(['product:2'])
  expect((await caches.explainTags(['product:2'])).entries).toBe(0)
  expect((await caches.explainTags(['products'])).entries).toBe(13)
  await pages.invalidate(`${site.origin}/products/3`)
  expect((await fragments.explain('product')).pages[0]?.entries).toBe(5)
  await caches.default.clear()
  expect((await caches.explainTags(['products'])).fragments).toEqual([])
})

it('counts what is stored in the very millisecond of an invalidation', async () => {
  const caches = createCaches({ default: new LocMemCache() })
  for (let i = 0; i < 50; i++) {
    await caches.invalidateTags(['a'])
    await caches.default.set('key', i, { tags: ['a'] })
    expect((await caches.explainTags(['a'])).entries).toBe(1)
    await caches.default.clear()
    expect((await caches.explainTags(['a'])).entries).toBe(0)
    await caches.default.set('key', i, { tags: ['a'] })
    expect((await caches.explainTags(['a'])).entries).toBe(1)
  }
})

it('why pages were missing is found out where it is said, or an inspector may ask', async () => {
  for (const [isInspected, causes] of [
    [false, {}],
    [true, { 'not-stored': 1 }],
  ] as const) {
    const caches = createCaches({ default: new LocMemCache() })
    const page = isInspected ? inspector(caches) : undefined
    const app = express()
    app.use(responseCache(caches, { cacheStatus: false }).cacheSite())
    app.get('/', (_req, res) => void res.send('page'))
    await (await Site.open(app)).get('/')
    await expect.poll(() => caches.stats().routes[0]?.causes).toEqual(causes)
    page?.close()
  }
})

it('fragments.explain says what contains a fragment, also in other caches', async () => {
  const { fragments } = await shop()
  const { fragments: found, pages } = await fragments.explain('product')
  expect(found).toMatchObject([{ name: 'product', entries: 7 }])
  expect(pages).toMatchObject([{ route: 'GET /products/:id', entries: 7 }])
  expect((await fragments.explain('other')).entries).toBe(0)
})

it('pages.explain says which pages a URL has', async () => {
  const { pages, site } = await shop()
  const url = `${site.origin}/products/1`
  expect(await pages.explain(url)).toMatchObject({
    entries: 1,
    pages: [{ route: 'GET /products/:id', urls: [url] }],
  })
  expect((await pages.explain(`${site.origin}/products/99`)).entries).toBe(0)
})

it('pages.explain counts what pages.invalidate drops, no page of another responseCache', async () => {
  const caches = createCaches({ default: new LocMemCache() })
  const pages = responseCache(caches, { seconds: 60 })
  const others = responseCache(caches, { seconds: 60, keyPrefix: 'others' })
  const app = express()
  app.get('/', others.cacheSite(), (_req, res) => void res.send('page'))
  const site = await Site.open(app)
  const url = `${site.origin}/`
  await site.get('/')
  await expect.poll(async () => (await others.explain(url)).entries).toBe(1)
  expect((await pages.explain(url)).entries).toBe(0)
  await pages.invalidate(url)
  // It is there, and would be dropped by its own.
  expect((await others.explain(url)).entries).toBe(1)
  await others.invalidate(url)
  expect((await others.explain(url)).entries).toBe(0)
})

it('refuses what is not a tag, name or URL', async () => {
  const { caches, fragments, pages } = await shop()
  await expect(caches.explainTags('products' as never)).rejects.toThrow(/give an array of strings/)
  await expect(fragments.explain('')).rejects.toThrow(TypeError)
  await expect(pages.explain('/products/1')).rejects.toThrow(/URL/)
})
