import express from 'express'
import { pageContext } from './context.mjs'
import { findCountry, findRegion, regions } from './data/countries.mjs'
import { nameIn, officialNameIn } from './data/languages.mjs'
import { NOTE_LENGTH } from './notes.mjs'
import { sameOrigin } from './security.mjs'

/**
 * The pages of Atlas in one template engine.
 *
 * @param {object} site
 * @param {{ name: string, render: (page: string, context: object) => Promise<string> }} site.engine
 * @param {ReturnType<typeof import('./notes.mjs').createNotes>} site.notes
 * @param {ReturnType<typeof import('./visitors.mjs').createVisitors>} site.visitors
 * @param {import('express').RequestHandler} site.cacheStatistics
 * @param {(tag: string) => Promise<void>} site.invalidate
 */
export function createPages({ engine, notes, visitors, cacheStatistics, invalidate }) {
  const router = express.Router({ strict: false })

  const show = async (req, res, page, context, visitor) => {
    const html = await engine.render(page, {
      ...pageContext(req, engine.name, visitor),
      ...context,
    })
    res.type('html').send(html)
  }

  /** A page that greets its visitor, so no cache between here and the visitor may keep it. */
  const view = (page, contextOf) => async (req, res, next) => {
    const context = contextOf(req)
    if (context === undefined) return next()
    res.set('Cache-Control', 'private, no-store')
    await show(req, res, page, context, visitors.current(req))
  }

  router.get(
    '/',
    view('home', () => ({
      title: 'The countries of the world',
      regions: regions.map(({ slug, name }) => ({ slug, name })),
    })),
  )

  router.get(
    '/region/:slug',
    view('region', (req) => {
      const region = findRegion(req.params.slug)
      return region && { title: region.name, slug: region.slug, count: region.members.length }
    }),
  )

  router.get(
    '/country/:code',
    view('country', (req) => {
      const country = findCountry(req.params.code)
      if (country === undefined) return undefined
      const { lang, to } = pageContext(req, engine.name)
      const target = findCountry(to)
      const name = nameIn(country, lang)
      return {
        title: name,
        code: country.cca3,
        flag: country.flag,
        name,
        official: officialNameIn(country, lang),
        region: findRegion(country.region.toLowerCase()),
        note: notes.get(country.cca3),
        noteLength: NOTE_LENGTH,
        saved: req.query.saved === 'note',
        visited: visitors.current(req)?.visited.has(country.cca3) ?? false,
        target: target && { code: target.cca3, name: nameIn(target, lang) },
      }
    }),
  )

  router.get(
    '/visited',
    view('visited', () => ({ title: 'Countries you have visited' })),
  )

  // The same for everybody: no visitor goes into this page, so the whole response may be kept. We
  // keep it for as long as `cachePage` says, and could drop it any time; browsers are to ask.
  router.get('/stats', cacheStatistics, async (req, res) => {
    res.set('Cache-Control', 'public, max-age=0')
    await show(req, res, 'stats', { title: 'Statistics', shared: true })
  })

  const form = [sameOrigin, express.urlencoded({ extended: false, limit: '4kb' })]

  router.post('/country/:code/note', form, async (req, res, next) => {
    const country = findCountry(req.params.code)
    if (country === undefined) return next()
    notes.set(country.cca3, req.body?.note)
    await invalidate(`country:${country.cca3}`)
    res.redirect(303, back(req, `/country/${country.cca3}`, { saved: 'note' }))
  })

  router.post('/country/:code/visited', form, async (req, res, next) => {
    const country = findCountry(req.params.code)
    if (country === undefined) return next()
    const visitor = visitors.current(req)
    if (visitor === undefined) return res.redirect(303, back(req, '/visited'))
    if (req.body?.visited === 'no') visitor.visited.delete(country.cca3)
    else visitor.visited.add(country.cca3)
    await invalidate(`visitor:${visitor.id}`)
    res.redirect(303, back(req, `/country/${country.cca3}`))
  })

  router.post('/sign-in', form, (req, res) => {
    visitors.signIn(res, req.body?.name)
    res.redirect(303, back(req, '/visited'))
  })

  router.post('/sign-out', form, async (req, res) => {
    const visitor = visitors.signOut(req, res)
    if (visitor !== undefined) await invalidate(`visitor:${visitor.id}`)
    res.redirect(303, back(req, '/'))
  })

  router.use((req, res, next) => {
    if (req.method !== 'GET') return next()
    res.status(404)
    return view('message', () => ({
      title: 'No such page',
      text: 'There is nothing here. The countries are all listed by region.',
    }))(req, res, next)
  })

  const back = (req, path, more = {}) => {
    const { lang } = pageContext(req, engine.name)
    const query = new URLSearchParams({ ...more, ...(lang === 'en' ? {} : { lang }) })
    return `/${engine.name}${path}${query.size === 0 ? '' : `?${query}`}`
  }

  return router
}
