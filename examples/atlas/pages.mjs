import express from 'express'
import { pageContext } from './context.mjs'
import { findCountry, findRegion, regions } from './data/countries.mjs'
import { nameIn, officialNameIn } from './data/languages.mjs'
import { changes } from './changes.mjs'
import { sameOrigin } from './security.mjs'

/**
 * The pages of Atlas in one template engine.
 *
 * @param {object} site
 * @param {{ name: string, extension: string }} site.engine
 * @param {ReturnType<typeof import('./notes.mjs').createNotes>} site.notes
 * @param {ReturnType<typeof import('./visitors.mjs').createVisitors>} site.visitors
 * @param {ReturnType<typeof import('./survey.mjs').createSurveys>} site.surveys
 * @param {import('express').RequestHandler} site.keep - Keeps whole pages.
 * @param {readonly import('./changes.mjs').Site[]} site.sites - The caches of every engine: a note is
 *   shown by all three.
 */
export function createPages({ engine, notes, visitors, surveys, keep, sites }) {
  const router = express.Router({ strict: false })

  const show = (req, res, page, context) =>
    res.render(`${engine.name}/${page}.${engine.extension}`, {
      ...pageContext(req, engine.name),
      ...context,
    })

  /** A page that greets its visitor, so no cache between here and the visitor may keep it. */
  const view = (page, contextOf) => (req, res, next) => {
    const context = contextOf(req)
    if (context === undefined) return next()
    res.set('Cache-Control', 'private, no-store')
    show(req, res, page, context)
  }

  router.get(
    '/',
    view('home', () => ({
      title: 'The countries of the world',
      regions: regions.map(({ slug, name }) => ({ slug, name })),
    })),
  )

  // Kept whole, for everybody: the visitor is greeted in a hole.
  router.get('/region/:slug', keep, (req, res, next) => {
    const region = findRegion(req.params.slug)
    if (region === undefined) return next()
    const { name, slug, members } = region
    show(req, res, 'region', { title: name, slug, count: members.length })
  })

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
        revision: notes.revision(country.cca3),
        report: reportFor(req, country.cca3),
        visited: req.visitor?.visited.has(country.cca3) ?? false,
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
  router.get('/stats', keep, (req, res) => {
    res.set('Cache-Control', 'public, max-age=0')
    show(req, res, 'stats', { title: 'Statistics', shared: true })
  })

  const reportFor = (req, code) => {
    const report = surveys.get(req.query.saved)
    return report?.code === code && report.engine === engine.name ? report : undefined
  }

  const here = sites.find(({ name }) => name === engine.name)

  const form = [sameOrigin, express.urlencoded({ extended: false, limit: '4kb' })]
  const ownForm = [...form, visitors.ownForm]

  const invalidate = (tag) => Promise.all(sites.map(({ caches }) => caches.invalidateTags([tag])))

  router.post('/country/:code/note', ownForm, async (req, res, next) => {
    const country = findCountry(req.params.code)
    if (country === undefined) return next()
    const { cca3: code } = country
    const by = Object.hasOwn(changes, req.body.by) ? req.body.by : 'tag'
    const { says, apply, reason } = changes[by]
    const saved = await surveys.look(req, {
      engine: engine.name,
      code,
      lang: pageContext(req, engine.name).lang,
      says: says(code),
      reason,
      async change(seen) {
        notes.set(code, req.body.note)
        await apply(sites, notes, code, { ...here, seen })
      },
    })
    res.redirect(303, back(req, `/country/${code}`, { saved }))
  })

  router.post('/country/:code/visited', ownForm, async (req, res, next) => {
    const country = findCountry(req.params.code)
    if (country === undefined) return next()
    const { visitor } = req
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

  router.post('/sign-out', ownForm, async (req, res) => {
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
