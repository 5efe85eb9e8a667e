import { createCaches, LocMemCache } from 'fragcache'
import { responseCache } from 'fragcache/express'
import { registerCache } from 'fragcache/nunjucks'
import nunjucks from 'nunjucks'
import { describe, expect, it } from 'vitest'
import { watchOutcomes } from '../support/cached-site.js'
import { eventually, expressVersions, Site } from '../support/express.js'

const MOST = 10_000
const names = (count: number, prefix = 't') => Array.from({ length: count }, (_, i) => prefix + i)
const caches = () => createCaches({ default: new LocMemCache() })

describe('more tags than an entry can have', () => {
  it('are refused where a template gives them, with their number', () => {
    const env = new nunjucks.Environment(null)
    registerCache(env, caches())
    const render = (count: number) =>
      env.renderString('{% cache 9 n tags=given %}made{% endcache %}', { given: names(count) })
    expect(render(MOST)).toBe('made')
    expect(() => render(MOST + 1)).toThrow(
      /tags holds 10001 of them; give at most 10000, for example one for a whole table/,
    )
  })

  it('are refused where a page gives them in its route', () => {
    const pages = responseCache(caches())
    expect(() => pages.cachePage(60, { tags: names(MOST + 1) })).toThrow(/tags: 10001 are too many/)
  })

  it.each(expressVersions)(
    'from inside leave a page as it is, not kept: $version',
    async (given) => {
      const app = given.express()
      const pages = responseCache(caches())
      let runs = 0
      const tags = () => [...names(MOST, 'a'), ...names(MOST, 'b')]
      app.get('/p', pages.cachePage(60, { tags }), (_req, res) => void res.send(`run ${++runs}`))
      const site = await Site.open(app)
      const outcomes = watchOutcomes(site.origin)
      for (const run of [1, 2]) {
        const answer = await site.get('/p')
        expect([answer.status, answer.text]).toEqual([200, `run ${run}`])
        await eventually(() => outcomes.length === run)
      }
      expect(outcomes).toEqual(['bypass too-many-tags', 'bypass too-many-tags'])
    },
  )
})
