import { readdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { describe, expect, it } from 'vitest'
import { allReasons, explainReason } from '../../src/pages/explanations.js'
import { allRisks, riskText } from '../../adapters/inspector/risk-texts.js'
import { responseCache } from '../../adapters/express/index.js'
import { createCaches, LocMemCache } from '../../src/index.js'
import { projectRoot } from '../support/project.js'
import { Inspected } from './inspector-support.js'

/** Every code that a warning of this package has. */
function warningsInCode(): Set<string> {
  const found = new Set<string>()
  const folders = ['src', 'adapters'].flatMap((folder) =>
    readdirSync(join(projectRoot, folder), { recursive: true, encoding: 'utf8' }).map(
      (name) => `${folder}/${name}`,
    ),
  )
  for (const file of folders.filter((name) => name.endsWith('.ts'))) {
    const text = readFileSync(join(projectRoot, file), 'utf8')
    // A warning has a type beside its code, or is handed its code by name.
    const pattern = /type: '\w+Warning',?\s+code:([^}]+)\}|warnOnce\('(\w+)'|const code = ('\w+')/g
    for (const [, inline = '', once = '', named = ''] of text.matchAll(pattern)) {
      for (const [code] of `${inline} ${once} ${named}`.matchAll(/FRAGCACHE_\w+/g)) found.add(code)
    }
  }
  return found
}

const known = new Set(allReasons().map(({ code }) => code))

describe('why a response was not answered from the cache', () => {
  // That there is one for every reason, the compiler sees: the texts are a record of them.
  it.each([...known])('has a sentence for %s', (reason) => {
    const { sentence, remedy } = explainReason('bypass', reason)
    expect(sentence).toMatch(/^[A-Z].{15,}[.]$/)
    expect(remedy).toMatch(/^[A-Z].{10,}[.]$/)
  })

  it('is one of those that the page on Express lists', () => {
    const page = readFileSync(join(projectRoot, 'docs/express-reasons.md'), 'utf8')
    const outcomes = ['joined', 'miss', 'unknown']
    const unlisted = [...known]
      .filter((reason) => !outcomes.includes(reason))
      .filter(
        (reason) => ![`\`${reason}\``, `\`${reason}-503\``].some((name) => page.includes(name)),
      )
    expect(unlisted).toEqual([])
  })

  it('is told of what the code does not name too', () => {
    expect(explainReason('bypass', 'constructor').code).toBe('unknown')
    expect(explainReason('bypass', 'something-new').sentence).toMatch(/did not come from the cache/)
    expect(explainReason('miss', undefined).sentence).toMatch(/Now it is/)
    expect(explainReason('stale', 'view-failed-502').sentence).toContain('502')
  })
})

describe('a warning of the process', () => {
  const codes = warningsInCode()

  it('is looked for where the code says it', () => {
    expect([...codes]).toEqual(
      expect.arrayContaining([
        'FRAGCACHE_OUTAGE',
        'FRAGCACHE_UNDEFINED_VARY_ON',
        'FRAGCACHE_KEY_TOO_LONG',
        'FRAGCACHE_KEY_BAD_CHARACTERS',
        'FRAGCACHE_CSP_NONCE',
        'FRAGCACHE_RESPONSE_CACHE',
        'FRAGCACHE_OPEN_DIGEST',
        'FRAGCACHE_WATCH_FAILED',
      ]),
    )
  })

  it.each([...codes])('is explained: %s', (code) => {
    expect(allRisks().map(([one]) => one)).toContain(code)
    expect(riskText(code).remedy).toMatch(/[.]$/)
  })
})

describe('the help', () => {
  it('has a section for every reason and every risk, each once', async () => {
    const inspected = await Inspected.open()
    const { text, headers } = await inspected.get('/help')
    expect(headers['content-type']).toBe('text/html; charset=utf-8')
    const ids = [...text.matchAll(/<section id="([^"]+)">/g)].map(([, id]) => id)
    const codes = [...known, ...allRisks().map(([code]) => code)]
    expect([...ids].sort()).toEqual([...codes].sort())
    expect(new Set(ids).size).toBe(ids.length)
    expect(text).toContain('href="./"')
  })

  it('has the section that a row leads to', async () => {
    const caches = createCaches({ default: new LocMemCache() })
    const pages = responseCache(caches, { seconds: 60 })
    const inspected = await Inspected.open(caches, {}, (app) => {
      app.get('/cookie', pages.cachePage(60), (_req, res) => void res.cookie('a', 'b').send('x'))
      app.get('/fine', pages.cachePage(60), (_req, res) => void res.send('x'))
    })
    await inspected.overview()
    for (const path of ['/cookie', '/fine', '/fine']) await inspected.site.get(path)
    const rows = await inspected.responses()
    expect(
      rows.map(({ method, url, alias, outcome, reason, href, sentence }) => [
        `${method} ${new URL(url).pathname} ${alias}`,
        outcome,
        reason,
        href,
        sentence,
      ]),
    ).toEqual([
      [
        'GET /fine default',
        'miss',
        undefined,
        'help#not-stored',
        'It was not stored since this process started.',
      ],
      [
        'GET /cookie default',
        'bypass',
        'set-cookie',
        'help#set-cookie',
        'The response sets a cookie, which belongs to one visitor.',
      ],
    ])
    const { text } = await inspected.get('/help')
    for (const { href } of rows) expect(text).toContain(`id="${href.slice('help#'.length)}"`)
  })

  it('keeps no more than the latest 200 of them', async () => {
    const caches = createCaches({ default: new LocMemCache() })
    const pages = responseCache(caches, { seconds: 60 })
    const inspected = await Inspected.open(caches, {}, (app) => {
      app.use('/p', pages.cachePage(60), (_req, res) => void res.send('x'))
    })
    await inspected.overview()
    for (let i = 0; i < 230; i++) await inspected.site.get(`/p/${i}`)
    const rows = await inspected.responses()
    expect(rows.map(({ url }) => Number(new URL(url).pathname.slice(3)))).toEqual(
      Array.from({ length: 200 }, (_, i) => 229 - i),
    )
  })
})
