/**
 * Response caches for Express, each set up as its documentation shows, as middleware or a handler to
 * go with `app.get`. All keep a page of ten minutes in the process's own memory.
 */
import apicache from 'apicache'
import { defineCachedHandler } from 'ocache'
import routeCache from 'route-cache'

const SECONDS = 600

/** @returns {Record<string, (app: import('express').Express, view: object) => void>} */
export const responseCaches = {
  apicache(app, view) {
    app.use(apicache.middleware('10 minutes'))
    app.get('/page', view)
  },
  'route-cache'(app, view) {
    app.get('/page', routeCache.cacheSeconds(SECONDS), view)
  },
  /** It caches handlers of the Fetch API: what Express has and wants is converted, as little as goes. */
  ocache(app, _view, html) {
    const handler = defineCachedHandler(
      async () => new Response(html, { headers: { 'Content-Type': 'text/html; charset=utf-8' } }),
      { maxAge: SECONDS, createResponse: (body, init) => ({ body, ...init }) },
    )
    app.get('/page', async (req, res) => {
      const url = `${req.protocol}://${req.get('host')}${req.originalUrl}`
      const { method } = req
      const response = await handler({ req: { method, url, headers: new Headers(req.headers) } })
      res.status(response.status)
      res.set(response.headers)
      res.end(response.body)
    })
  },
}
