import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { runAtlas, startAtlas, type RunningAtlas } from './atlas.js'

const engines = ['nunjucks', 'handlebars', 'eta']

/** A page without what differs by engine and shows in no browser: white space and spellings. */
const comparable = (page: string, engine: string): string =>
  page
    .replace(/<nav class="engines"[^]*?<\/nav>/, '')
    .replaceAll(`/${engine}/`, '/ENGINE/')
    .replace(/Made with fragcache and \w+/, '')
    .replaceAll(/&#x3D;/g, '=')
    .replaceAll(/&#(x27|39);/g, "'")
    .replaceAll(/\s*(<[^>]+>)\s*/g, '$1')
    .replaceAll(/\s+/g, ' ')

/** Where two texts part; pages are too long to print. */
const difference = (a: string, b: string): string | undefined => {
  if (a === b) return undefined
  let at = 0
  while (a[at] === b[at]) at += 1
  const from = Math.max(0, at - 60)
  return `${a.slice(from, at + 60)} | ${b.slice(from, at + 60)}`
}

describe('npm run demo -- --check', () => {
  it('finds that warm pages run no body and are the cold ones, and that edits make again what they should', async () => {
    // Every country, in memory and in files, is what `.ci/run` has it look at.
    const { code, output } = await runAtlas(['--check', '--cache', 'memory', '--every', '50'])
    expect(output).toContain('--cache memory')
    const lines = output.split('\n').filter((line) => /\b(nunjucks|handlebars|eta)\b/.test(line))
    const rows = lines.filter((line) => !line.startsWith('by '))
    expect(rows).toHaveLength(3 * 8)
    for (const row of rows) {
      const [cold, warm] = row.trim().split(/\s+/).slice(-2).map(Number)
      expect(cold, row).toBeGreaterThan(0)
      expect(warm, row).toBe(0)
    }
    expect(output).toContain('Every warm page is its cold page, and ran no body.')

    // France has eight neighbours; with its note, its card, its mention and its region that is twelve.
    const edits = lines.filter((line) => line.startsWith('by '))
    expect(edits).toHaveLength(3 * 5)
    for (const edit of edits) {
      const [, by = '', , bodies, pages] = edit.trim().split(/\s+/)
      const known = { tag: [12, 12, 1], soft: [12, 12, 1], expire: [1, 1, 0], key: [1, 1, 0] }
      const [least, most, whole] = known[by as keyof typeof known] ?? [250, 500, 6]
      expect(Number(bodies), edit).toBeGreaterThanOrEqual(Number(least))
      expect(Number(bodies), edit).toBeLessThanOrEqual(Number(most))
      expect(Number(pages), edit).toBe(whole)
    }
    expect(output).toContain('Every edit made again what it should, and nothing else.')
    expect(code, output).toBe(0)
  }, 600_000)

  it('fails where nothing is kept', async () => {
    const { code, output } = await runAtlas(['--check', '--cache', 'none'])
    expect(output).toMatch(/\/nunjucks\/: the warm page ran .*tile europe en/)
    expect(output).not.toContain('Every warm page is its cold page')
    expect(code).toBe(1)
  }, 120_000)
})

describe('npm run demo', () => {
  it('refuses options that it cannot follow, and names them', async () => {
    for (const [args, complaint] of [
      [['--port', '70000'], '--port is "70000"; give a number from 0 to 65535'],
      [
        ['--cache', 'redis'],
        '--cache is "redis"; say one of "memory", "file:DIRECTORY", "redis://',
      ],
      [['--check', '--every', '0'], '--every is "0"; give a whole number from 1'],
      [['--chekc'], "Unknown option '--chekc'"],
    ] as const) {
      const { code, output } = await runAtlas([...args])
      expect(output).toContain(complaint)
      expect(code).toBe(1)
    }
  }, 60_000)
})

// On other stores it is the same: stores.test.ts.
describe('Atlas', () => {
  let site: RunningAtlas

  beforeAll(async () => {
    site = await startAtlas()
  }, 120_000)

  afterAll(async () => {
    expect(await site?.stop()).toBe(0)
  })

  const get = (path: string, headers: Record<string, string> = {}) =>
    fetch(site.origin + path, { redirect: 'manual', headers: { 'atlas-foot': 'off', ...headers } })

  const post = (path: string, fields: Record<string, string>, headers: Record<string, string>) =>
    fetch(site.origin + path, {
      method: 'POST',
      redirect: 'manual',
      headers,
      body: new URLSearchParams(fields),
    })

  const signIn = async (name: string) => {
    const response = await post('/eta/sign-in', { name }, { origin: site.origin })
    return response.headers.getSetCookie()[0] ?? ''
  }

  /** The token in the form that edits a country's note. */
  const tokenFor = async (path: string, cookie = '') => {
    const page = await (await get(path, { cookie })).text()
    return /name="token" value="([^"]+)"[^]*?id="text"/.exec(page)?.[1] ?? ''
  }

  const edit = async (engine: string, code: string, fields: Record<string, string>) => {
    const path = `/${engine}/country/${code}`
    const token = await tokenFor(path)
    return post(`${path}/note`, { token, ...fields }, { origin: site.origin })
  }

  it('has the same pages in all three engines', async () => {
    const paths = ['/', '/region/oceania', '/country/FRA?to=PRT&lang=ja', '/country/ISL?to=FRA']
    for (const path of [...paths, '/visited', '/stats?lang=ar', '/nowhere']) {
      const [first = '', ...others] = await Promise.all(
        engines.map(async (engine) => {
          const response = await get(`/${engine}${path}`)
          return `${response.status} ${comparable(await response.text(), engine)}`
        }),
      )
      for (const other of others) expect(difference(first, other), path).toBeUndefined()
    }
  })

  it('shows what somebody wrote as text in every engine', async () => {
    const hostile = `<script>alert(1)</script>"'&`
    const saved = await edit('eta', 'DEU', { note: hostile })
    expect(saved.status).toBe(303)
    const cookie = (await signIn(hostile)).split(';')[0] ?? ''
    for (const engine of engines) {
      for (const path of ['/country/DEU', '/country/FRA', '/region/europe', '/visited']) {
        const page = await (await get(`/${engine}${path}`, { cookie })).text()
        expect(page).not.toContain('<script')
        expect(page).toContain('&lt;script&gt;alert(1)')
      }
    }
  })

  it('takes forms from its own pages only', async () => {
    for (const headers of [{}, { origin: 'https://example.com' }, { origin: 'null' }]) {
      for (const path of ['/country/FRA/note', '/country/FRA/visited', '/sign-in', '/sign-out']) {
        const response = await post(`/eta${path}`, { note: 'x', name: 'x' }, { ...headers })
        expect(response.status).toBe(403)
        expect(response.headers.getSetCookie()).toEqual([])
      }
    }
    expect(await (await get('/eta/country/FRA')).text()).toContain('No note yet.')
  })

  it('takes the forms of a visitor with the token of that visitor only', async () => {
    const [ada = '', grace = ''] = (await Promise.all(['Ada', 'Grace'].map(signIn))).map(
      (cookie) => cookie.split(';')[0],
    )
    const path = '/handlebars/country/CHE'
    const tokens = {
      own: await tokenFor(path, ada),
      others: await tokenFor(path, grace),
      nobodys: await tokenFor(path),
    }
    expect(new Set(Object.values(tokens)).size).toBe(3)
    const send = (form: string, token: string) =>
      post(form, { note: 'x', token }, { origin: site.origin, cookie: ada })
    for (const form of [`${path}/note`, `${path}/visited`, '/handlebars/sign-out']) {
      for (const token of [tokens.others, tokens.nobodys, '', `${tokens.own}x`]) {
        expect((await send(form, token)).status, form).toBe(403)
      }
    }
    expect(await (await get(path, { cookie: ada })).text()).toContain('No note yet.')
    expect((await send('/handlebars/sign-out', tokens.own)).status).toBe(303)
    expect(await (await get(path, { cookie: ada })).text()).not.toContain('Ada')
  })

  it('says after an edit what was made again, alike in every engine', async () => {
    const reports = []
    for (const engine of engines) {
      const saved = await edit(engine, 'NOR', { note: `By ${engine}.`, by: 'tag' })
      const page = await (await get(saved.headers.get('location') ?? '')).text()
      expect(page).toContain(`By ${engine}.`)
      const [report = ''] = /<section class="report"[^]*?<\/section>/.exec(page) ?? []
      const text = comparable(report, engine)
      for (const again of ['note NOR en r1', 'card NOR en', 'region europe en', 'mention NOR en']) {
        expect(text).toContain(`<code>${again}</code>`)
      }
      expect(text.match(/<ul class="again">/g)).toHaveLength(3)
      expect(text).toContain('The whole page was made again.')
      reports.push(text)
    }
    expect(difference(String(reports[1]), String(reports[0]))).toBeUndefined()
    expect(difference(String(reports[2]), String(reports[0]))).toBeUndefined()
  }, 30_000)

  it('remembers a report for the country and the engine it is about', async () => {
    const saved = await edit('eta', 'ISL', { note: 'Ice.', by: 'key' })
    const location = saved.headers.get('location') ?? ''
    expect(await (await get(location)).text()).toContain('has a new key')
    for (const other of [
      location.replace('ISL', 'FRA'),
      location.replace('eta', 'nunjucks'),
      '/eta/country/ISL?saved=constructor',
    ]) {
      expect(await (await get(other)).text()).not.toContain('class="report"')
    }
  })

  it('knows a visitor by a signed cookie that scripts and other sites cannot use', async () => {
    const cookie = await signIn('Grace')
    expect(cookie).toMatch(/; HttpOnly; SameSite=Strict$/)
    const [value = ''] = cookie.split(';')
    expect(await (await get('/eta/visited', { cookie: value })).text()).toContain('Grace')
    const [id] = value.split('.')
    for (const forged of [`${id}.`, `${id}.AAAA`, `${value}A`, `x${value}`, 'atlas_visitor=']) {
      expect(await (await get('/eta/visited', { cookie: forged })).text()).not.toContain('Grace')
    }
  })

  it.each(['/country/PER', '/region/oceania'])(
    'never shows one visitor to another in %s',
    async (path) => {
      for (const engine of engines) {
        const names = ['Lovelace', 'Hopper', 'Noether']
        const cookies = await Promise.all(names.map((name) => signIn(name)))
        const pages = await Promise.all(
          [...cookies, ...cookies, ''].map(async (cookie) => {
            const headers = { cookie: cookie.split(';')[0] ?? '' }
            return await (await get(`/${engine}${path}`, headers)).text()
          }),
        )
        for (const [index, page] of pages.entries()) {
          const own = index < 6 ? names[index % 3] : undefined
          for (const name of names) expect(page.includes(name)).toBe(name === own)
          const tokens = [...page.matchAll(/name="token" value="([^"]+)"/g)].map(
            ([, token]) => token,
          )
          expect(new Set(tokens).size).toBe(own === undefined && path !== '/country/PER' ? 0 : 1)
        }
      }
    },
  )

  /** A whole page is stored after it was sent. */
  const untilStored = (path: string) =>
    expect.poll(async () => (await get(path)).headers.get('cache-status')).toContain('hit')

  it('sends the statistics from the cache, to everybody alike', async () => {
    for (const engine of engines) {
      const path = `/${engine}/stats?lang=pt`
      const first = await get(path, { cookie: (await signIn('Ada')).split(';')[0] ?? '' })
      expect(first.headers.get('cache-status')).toContain('stored')
      await untilStored(path)
      const text = await first.text()
      expect(difference(await (await get(path)).text(), text)).toBeUndefined()
      expect(text.includes('Ada')).toBe(false)
      expect(text.includes('Sign in')).toBe(false)
      // Kept here, where it can be dropped; a browser asks each time.
      expect(first.headers.get('cache-control')).toBe('public, max-age=0')
    }
  })

  it('puts its foot after what is cached, into no cache', async () => {
    for (const engine of engines) {
      // In a language in which no other test, and no report, has looked at it.
      const path = `/${engine}/stats?lang=fi`
      const first = await (await get(path, { 'atlas-foot': 'on' })).text()
      await untilStored(path)
      const plain = await (await get(path)).text()
      const again = await get(path, { 'atlas-foot': 'on' })
      const footed = await again.text()
      expect(again.headers.get('content-length')).toBe(String(Buffer.byteLength(footed)))
      for (const page of [first, footed]) {
        expect(page.startsWith(plain)).toBe(true)
        expect(page.slice(plain.length)).toMatch(/^<aside class="foot"[^]*<\/aside>\n$/)
      }
      expect(first.slice(plain.length)).toContain('<li>records fi</li>')
      expect(footed.slice(plain.length)).toContain('The whole response was a hit')
    }
  })

  it('lets no cache keep a page that greets a visitor', async () => {
    const response = await get('/eta/country/FRA')
    expect(response.headers.get('cache-control')).toBe('private, no-store')
  })

  it('keeps the page of a region whole, and greets each visitor in it', async () => {
    for (const engine of engines) {
      const path = `/${engine}/region/americas`
      await get(path)
      await untilStored(path)
      for (const name of ['Ada', 'Grace']) {
        const cookie = (await signIn(name)).split(';')[0] ?? ''
        const response = await get(path, { cookie })
        expect(response.headers.get('cache-status')).toContain('hit')
        expect(response.headers.get('cache-control')).toBe('private, no-cache')
        const page = await response.text()
        expect(page).toContain(`<bdi>${name}</bdi>`)
        expect(page).toContain('name="token"')
      }
    }
  })

  it('allows no script, and gives credit for its data', async () => {
    const response = await get('/handlebars/country/FRA')
    expect(response.headers.get('content-security-policy')).toContain("default-src 'none'")
    const page = await response.text()
    expect(page).toContain('https://github.com/mledoze/countries')
    expect(page).toContain('https://opendatacommons.org/licenses/odbl/1.0/')
  })

  it('answers 404 where there is nothing, in every engine', async () => {
    for (const path of ['/country/XXX', '/country/fra', '/region/atlantis', '/nowhere']) {
      for (const engine of engines) {
        const response = await get(`/${engine}${path}`)
        expect(response.status).toBe(404)
        expect(await response.text()).toContain('No such page')
      }
    }
    expect((await get('/country/FRA')).status).toBe(404)
  })
})
