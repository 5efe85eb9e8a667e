import { randomUUID } from 'node:crypto'
import { join } from 'node:path'
import Database from 'better-sqlite3'
import express from 'express'
import { describe, expect, it, onTestFinished, vi } from 'vitest'
import { responseCache } from '../../adapters/express/index.js'
import { createCacheTable, DatabaseCache } from '../../src/backends/database.js'
import { createCaches } from '../../src/index.js'
import { inProject } from '../support/samples.js'
import { configure, ownFolder, run, runJson } from './support.js'

/** A store that the application and the command line open by its file. */
async function openStore() {
  const folder = ownFolder()
  const file = join(folder, `${randomUUID()}.db`)
  const database = new Database(file)
  onTestFinished(() => void database.close())
  const cache = new DatabaseCache({ location: 'entries', database })
  await createCacheTable(cache)
  return { folder, file, cache }
}

describe('fragcache invalidate --url', () => {
  it('makes a page a miss that the application stored, and no other', async () => {
    const { folder, file, cache } = await openStore()
    const pages = responseCache(createCaches({ default: cache }), {
      alias: 'default',
      seconds: 600,
    })
    let runs = 0
    const app = express()
    app.use(pages.cacheSite())
    app.get('/countries/:code', (_req, res) => void res.send(`made ${++runs}`))
    const server = app.listen(0)
    onTestFinished(() => void server.close())
    const { port } = server.address() as { port: number }
    const site = `http://127.0.0.1:${port}`
    const visit = async (path: string) => (await fetch(site + path)).text()
    expect([await visit('/countries/de'), await visit('/countries/fr')]).toEqual([
      'made 1',
      'made 2',
    ])
    expect([await visit('/countries/de'), await visit('/countries/fr')]).toEqual([
      'made 1',
      'made 2',
    ])
    // Local memory that keeps no pages is not spoken of.
    const config = configure(
      folder,
      `import { responseCache } from ${JSON.stringify(inProject('adapters/express/index.ts'))}
       const database = new Database(${JSON.stringify(file)})
       const caches = createCaches({ default: new DatabaseCache({ location: 'entries', database }), local: new LocMemCache() })
       export default { caches, pages: responseCache(caches, { alias: 'default', seconds: 600 }) }`,
    )
    const listed = await runJson(['list', 'default', '--config', config])
    expect(listed.json).toMatchObject({ entries: [{ kind: 'page' }, { kind: 'page' }] })
    const dry = ['--dry-run', '--config', config]
    const foretold = await runJson(['invalidate', '--url', `${site}/countries/de`, ...dry])
    expect(foretold.json).toMatchObject({
      dryRun: true,
      entries: { default: 1 },
      found: { default: [{ kind: 'page', urls: [`${site}/countries/de`] }] },
    })
    const shown = await run(['clear', 'default', ...dry])
    const [, kinds] = shown.out.split('\n')
    expect(kinds?.split(/, |: /).sort()).toEqual(
      ['  2 × page', `${site}/countries/de`, `${site}/countries/fr`].sort(),
    )
    const none = await run(['invalidate', '--url', `${site}/countries/xx`, ...dry])
    expect(none.out).toBe(`${site}/countries/xx: would be invalidated: no entries in default`)
    expect(await visit('/countries/de')).toBe('made 1')
    const really = ['--config', config]
    expect(await run(['invalidate', '--url', `${site}/countries/de`, ...really])).toEqual({
      code: 0,
      out: `${site}/countries/de: invalidated: 1 entry in default`,
      error: '',
    })
    expect(await run(['invalidate', '--url', `${site}/countries/xx`, ...really])).toEqual({
      code: 0,
      out: `${site}/countries/xx: no entry in default belongs to it`,
      error: '',
    })
    // It lies there for a while, and nothing finds it.
    const dropped = await runJson(['invalidate', '--url', `${site}/countries/de`, ...dry])
    expect(dropped.json).toMatchObject({ entries: { default: 0 } })
    expect([await visit('/countries/de'), await visit('/countries/fr')]).toEqual([
      'made 3',
      'made 2',
    ])
  })

  it('tells which page answers no longer, though its store keeps it', async () => {
    const { folder, file, cache } = await openStore()
    const pages = responseCache(createCaches({ default: cache }))
    const app = express()
    app.get('/short', pages.cachePage(1), (_req, res) => void res.send('short'))
    app.get('/long', pages.cachePage(600), (_req, res) => void res.send('long'))
    const server = app.listen(0)
    onTestFinished(() => void server.close())
    const { port } = server.address() as { port: number }
    const site = `http://127.0.0.1:${port}`
    const config = configure(
      folder,
      `const database = new Database(${JSON.stringify(file)})
       export default createCaches({ default: new DatabaseCache({ location: 'entries', database }) })`,
    )
    const runAll = ['default', '--config', config]
    const listed = async () => {
      const { json } = await runJson(['list', ...runAll])
      return (json as { entries: { key: string; url: string; isStale: boolean }[] }).entries
    }
    const explain = async (key: string) =>
      (await runJson(['explain', 'default', key, '--config', config])).json

    await fetch(`${site}/long`)
    const [long] = await vi.waitUntil(async () => {
      const all = await listed()
      return all.length === 1 && all
    })
    expect(await explain(long?.key ?? '')).toMatchObject({ cause: 'found' })
    // Its store keeps it for longer than its ten minutes.
    const { out } = await run(['list', ...runAll])
    expect(out).toMatch(/ (?:9 min \d+ s|10 min) +/)
    await pages.invalidate(`${site}/long`)
    expect(await explain(long?.key ?? '')).toMatchObject({ cause: 'removed' })

    await fetch(`${site}/short`)
    const [short] = await vi.waitUntil(
      async () => {
        const all = await listed()
        return all[0]?.isStale === true && all
      },
      { timeout: 5000 },
    )
    expect(short?.url).toBe(`${site}/short`)
    const key = short?.key ?? ''
    const cause = { cause: 'expired', text: expect.stringMatching(/^It expired /) as string }
    expect(await explain(key)).toMatchObject(cause)
    const got = await run(['get', 'default', key, '--config', config])
    expect(got).toMatchObject({ code: 1, error: expect.stringMatching(/ is stale /) as string })
  })

  it('answers 1 where pages are kept in the memory of the application', async () => {
    const config = configure(
      ownFolder(),
      `import { responseCache } from ${JSON.stringify(inProject('adapters/express/index.ts'))}
       const caches = createCaches({ default: new LocMemCache(), other: new DummyCache() })
       export default { caches, pages: responseCache(caches, { alias: 'default', seconds: 600 }) }`,
    )
    const args = ['invalidate', '--url', 'https://example.com/', '--config', config]
    const { code, out, error } = await run(args)
    expect({ code, out }).toEqual({ code: 1, out: '' })
    expect(error).toMatch(/^fragcache: invalidate: the pages are kept .* process \(default\), /)
  })
})
