import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { sharedServer, type ServerKind } from '../support/servers.js'
import { openAtlas } from './atlas.js'

const paths = ['/', '/region/oceania', '/country/FRA?to=PRT&lang=ja', '/visited', '/stats?lang=ar']
const engines = ['nunjucks', 'handlebars', 'eta']

const folder = await mkdtemp(join(tmpdir(), 'atlas-stores-'))
const urlOf = async (kind: ServerKind) => (await sharedServer(kind))?.url
const memcached = await urlOf('memcached')
const stores: [string, string | undefined][] = [
  ['files', `file:${join(folder, 'files')}`],
  ['Redis', await urlOf('redis')],
  ['Memcached', memcached === undefined ? undefined : `memcached://${memcached}`],
  ['PostgreSQL', await urlOf('postgres')],
  ['MariaDB', await urlOf('mysql')],
  ['SQLite', `sqlite:${join(folder, 'atlas.sqlite')}`],
]

async function visit(origin: string, path: string): Promise<string> {
  const response = await fetch(origin + path, { headers: { 'atlas-foot': 'off' } })
  // Tokens of forms differ between two servers.
  const page = (await response.text()).replaceAll(/name="token" value="[^"]+"/g, '')
  return `${response.status} ${page}`
}

/** A visitor edits a note, and is told what was made again; the rest is as it was. */
async function edit(origin: string): Promise<void> {
  const send = (path: string, fields: Record<string, string>, cookie = '') =>
    fetch(origin + path, {
      method: 'POST',
      redirect: 'manual',
      headers: { origin, cookie },
      body: new URLSearchParams(fields),
    })
  const signedIn = await send('/eta/sign-in', { name: 'Ada' })
  const cookie = (signedIn.headers.getSetCookie()[0] ?? '').split(';')[0] ?? ''
  const get = async (path: string) =>
    await (await fetch(origin + path, { headers: { cookie } })).text()
  for (const engine of engines) {
    const own = `/${engine}/country/NOR`
    const [, token = ''] = /name="token" value="([^"]+)"/.exec(await get(own)) ?? []
    const note = `Edited in ${engine}.`
    const saved = await send(`${own}/note`, { note, by: 'soft', token }, cookie)
    expect(saved.status).toBe(303)
    const page = await get(saved.headers.get('location') ?? '')
    expect(page).toContain(note)
    expect(page).toContain('The whole page was shown as it was, and made again behind it.')
    const again = [...page.matchAll(/<li><code>([^<]+)<\/code>/g)].map(([, label]) => label)
    expect(again.toSorted()).toEqual([
      'card NOR en',
      'mention NOR en',
      'neighbours FIN en',
      'note NOR en r1',
      'region europe en',
    ])
    const region = await get(`/${engine}/region/europe`)
    expect(region).toContain(note)
    expect(region).toContain('<bdi>Ada</bdi>')
    expect(region).toContain('The whole page was a hit; only its holes were rendered.')
  }
}

describe('Atlas', () => {
  let inMemory: Awaited<ReturnType<typeof openAtlas>>
  beforeAll(async () => {
    inMemory = await openAtlas()
  }, 120_000)
  afterAll(async () => {
    await inMemory.close()
    await rm(folder, { recursive: true, maxRetries: 10 })
  })

  for (const [turn, [name, where]] of stores.entries()) {
    it.skipIf(where === undefined)(
      `is the same on ${name}, cold and warm, as in memory, and says what an edit made again`,
      async () => {
        const site = await openAtlas(where)
        try {
          // Each page, and each engine: what an engine stores is the same for every store.
          for (const [i, path] of paths.entries()) {
            const page = `/${engines[(turn + i) % engines.length]}${path}`
            const expected = await visit(inMemory.origin, page)
            expect(expected.startsWith('200 ')).toBe(true)
            expect((await visit(site.origin, page)) === expected, `${page} cold`).toBe(true)
            expect((await visit(site.origin, page)) === expected, `${page} warm`).toBe(true)
          }
          await edit(site.origin)
        } finally {
          await site.close()
        }
      },
      120_000,
    )
  }
})
