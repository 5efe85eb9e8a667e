import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { sharedServer, type ServerKind } from '../support/servers.js'
import { startAtlas, type RunningAtlas } from './atlas.js'

const paths = ['/', '/region/oceania', '/country/FRA?to=PRT&lang=ja', '/visited', '/stats?lang=ar']
const engines = ['nunjucks', 'handlebars', 'eta']

const folder = await mkdtemp(join(tmpdir(), 'atlas-stores-'))
const urlOf = async (kind: ServerKind) => (await sharedServer(kind))?.url
const memcached = await urlOf('memcached')
const stores: [string, string | undefined][] = [
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

describe('Atlas', () => {
  let inMemory: RunningAtlas
  beforeAll(async () => {
    inMemory = await startAtlas([])
  }, 120_000)
  afterAll(async () => {
    await inMemory.stop()
    await rm(folder, { recursive: true })
  })

  for (const [name, where] of stores) {
    it.skipIf(where === undefined)(
      `is the same on ${name}, cold and warm, as in memory`,
      async () => {
        const site = await startAtlas(['--cache', String(where)])
        try {
          for (const engine of engines) {
            for (const path of paths) {
              const page = `/${engine}${path}`
              const expected = await visit(inMemory.origin, page)
              expect(expected.startsWith('200 ')).toBe(true)
              expect((await visit(site.origin, page)) === expected, `${page} cold`).toBe(true)
              expect((await visit(site.origin, page)) === expected, `${page} warm`).toBe(true)
            }
          }
        } finally {
          expect(await site.stop()).toBe(0)
        }
      },
      60_000,
    )
  }
})
