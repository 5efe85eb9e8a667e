import { guard } from 'fragcache/express'
import { languageOf, languages } from './data/languages.mjs'

const engineNames = { nunjucks: 'Nunjucks', handlebars: 'Handlebars', eta: 'Eta' }

/** What `visitors.mjs` puts on a request. */
const inputs = ['visitor', 'token']

/**
 * What every page knows, outside of its fragments, and what is known to the holes of pages that are
 * kept whole. Of the request, templates get a guarded one: a fragment in which somebody's name or token
 * is read, and that does not vary on the visitor, is an error.
 *
 * @param {import('express').Request} req
 * @param {string} engine
 */
export function pageContext(req, engine) {
  const { tag: lang, dir } = languageOf(req.query.lang)
  const query = lang === 'en' ? '' : `?lang=${lang}`
  const page = req.path
  const to = typeof req.query.to === 'string' && /^[A-Z]{3}$/.test(req.query.to) ? req.query.to : ''
  return {
    engine,
    engineName: engineNames[engine],
    base: `/${engine}`,
    page,
    query,
    lang,
    dir,
    to,
    req: guard(req, { inputs }),
    languages: languages.map(({ tag, name }) => ({ tag, name, current: tag === lang })),
    engines: Object.entries(engineNames).map(([key, name]) => ({
      name,
      href: `/${key}${page}${sameQuery(lang, to)}`,
      current: key === engine,
    })),
  }
}

function sameQuery(lang, to) {
  const query = new URLSearchParams()
  if (to !== '') query.set('to', to)
  if (lang !== 'en') query.set('lang', lang)
  return query.size === 0 ? '' : `?${query}`
}
