import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { createCaches, LocMemCache } from 'fragcache'
import { responseCache } from 'fragcache/express'
import { afterAll, describe, expect, it } from 'vitest'
import { cachedSite, type View } from '../support/cached-site.js'
import { compression, expressVersions, Site, type Answer } from '../support/express.js'

const folder = mkdtempSync(join(tmpdir(), 'fragcache-files-'))
afterAll(() => rmSync(folder, { recursive: true }))
const file = join(folder, 'file.txt')
const TEXT = 'the text of a file'
writeFileSync(file, TEXT)

const NAMED = 'attachment; filename="Äpfel für 5 £.txt"'

/** The header as its bytes came. */
function disposition({ rawHeaders }: Answer): string | undefined {
  const at = rawHeaders.findIndex((name) => name.toLowerCase() === 'content-disposition')
  return rawHeaders[at + 1]
}

describe.each(expressVersions)('in $version', ({ express }) => {
  describe('letters of Latin-1 in Content-Disposition come back', () => {
    const view: View = (_req, res) => res.set('Content-Disposition', NAMED).sendFile(file)

    it.each<[string, View[]]>([
      ['as they are', []],
      ['with a layer around the cache that compresses', [compression({ threshold: 0 })]],
    ])('%s', async (_way, before) => {
      const { site } = await cachedSite(express, view, { page: [60], before })
      const headers = { 'Accept-Encoding': 'gzip' }
      const cold = await site.get('/p', { headers })
      expect(disposition(cold)).toBe(NAMED)
      const hit = await site.get('/p', { headers })
      expect(hit.cacheStatus).toMatch(/; hit/)
      expect(disposition(hit)).toBe(NAMED)
      expect(hit.body).toEqual(cold.body)
    })

    it('in front of Express, as a whole and as a part', async () => {
      const pages = responseCache(createCaches({ default: new LocMemCache() }))
      const app = express()
      app.use((_req, res) => {
        res.set('Cache-Control', 'max-age=60').set('Content-Disposition', NAMED).sendFile(file)
      })
      const site = await Site.open(pages.listener(app))
      await site.get('/p')
      for (const headers of [{}, { Range: 'bytes=0-2' }]) {
        const hit = await site.get('/p', { headers })
        expect(hit.cacheStatus).toMatch(/; hit/)
        expect(disposition(hit)).toBe(NAMED)
      }
    })

    it('where a page of before stands in for a view that failed', async () => {
      let fails = false
      const { site } = await cachedSite(
        express,
        (req, res, next) => {
          if (fails) res.status(500).send('failed')
          else view(req, res, next)
        },
        { page: [0.001], staleIfError: 60 },
      )
      await site.get('/p')
      fails = true
      const stale = await site.get('/p')
      expect([stale.status, stale.text]).toEqual([200, TEXT])
      expect(disposition(stale)).toBe(NAMED)
    })
  })
})
