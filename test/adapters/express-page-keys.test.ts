import { createHash } from 'node:crypto'
import { createCaches, LocMemCache } from 'fragcache'
import { responseCache } from 'fragcache/express'
import { afterAll, beforeAll, describe, expect, it, vi } from 'vitest'
import { oneExpress, Site } from '../support/express.js'
import { readGolden } from '../support/golden.js'

interface Case {
  readonly id: string
  readonly method: string
  readonly vary: string | null
  readonly key_prefix: string | null
  readonly settings_key_prefix: string
  readonly use_i18n: boolean
  readonly use_tz: boolean
  readonly active_language: string | null
  readonly request_language_code: string | null
  readonly current_zone: string | null
  readonly absolute_uri: string
  readonly request_headers: Readonly<Record<string, string>>
  readonly page_key: string
}

const cases = readGolden<Case>('page_keys.json')

/** What we say in place of Django's key. */
function expectedKey(golden: Case): string | undefined {
  // Such a response is never stored, so that nobody has to look for it.
  if (/(?:^|,)\s*\*\s*(?:$|,)/.test(golden.vary ?? '')) return undefined
  if (golden.method !== 'GET' && golden.method !== 'HEAD') return undefined
  // Over HTTP there is always a Host, in the recording there was none.
  if (golden.vary === 'Host') return golden.page_key.replace(/\w+$/, md5('10:testserver,'))
  // HEAD is answered from GET's page.
  return golden.page_key.replace('.HEAD.', '.GET.')
}

const md5 = (text: string): string => createHash('md5').update(text).digest('hex')

describe.each(oneExpress)("Django's page keys on $version", ({ express }) => {
  beforeAll(() => void vi.spyOn(process, 'emitWarning').mockImplementation(() => undefined))
  afterAll(() => void vi.restoreAllMocks())

  it('are compared for every case, most of them to the letter', () => {
    expect(cases).toHaveLength(104)
    const same = cases.filter((golden) => expectedKey(golden) === golden.page_key)
    expect(same).toHaveLength(96)
  })

  it.each(cases)('$id is learned and found', async (golden) => {
    const { use_i18n, use_tz, active_language, request_language_code, current_zone } = golden
    const zone = current_zone ?? ''
    const pages = responseCache(createCaches({ default: new LocMemCache() }), {
      keyPrefix: golden.key_prefix ?? golden.settings_key_prefix,
      ...(use_i18n && { language: () => request_language_code ?? active_language ?? 'en-us' }),
      ...(use_tz && { timeZone: () => zone.replace(/^fixed:(.*):(.*)$/, '$1$2') }),
    })
    const keys: unknown[] = []
    const app = express()
    app.set('trust proxy', golden.absolute_uri.startsWith('https:')).use((req, res, next) => {
      if (golden.vary !== null) res.setHeader('Vary', golden.vary)
      const learn = async () => {
        keys.push(await pages.getCacheKey(req))
        keys.push(await pages.learnCacheKey(req, res))
        keys.push(await pages.getCacheKey(req))
        res.end()
      }
      learn().catch(next)
    })
    const site = await Site.open(app)
    const [, scheme = '', host = '', target = ''] =
      /^(\w+):\/\/([^/]+)(.*)$/.exec(golden.absolute_uri) ?? []
    const headers = { Host: host, 'X-Forwarded-Proto': scheme, ...golden.request_headers }
    await site.get(target, { method: golden.method, headers })
    const expected = expectedKey(golden)
    expect(keys).toEqual([undefined, expected, expected])
  })
})
