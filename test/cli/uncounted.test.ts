import { join } from 'node:path'
import { describe, expect, it, onTestFinished } from 'vitest'
import { FileBasedCache } from '../../src/backends/file.js'
import { RedisCache } from '../../src/backends/redis.js'
import { countEntries } from '../../src/cli/listing.js'
import { Session } from '../../src/cli/session.js'
import { createCaches, type Cache } from '../../src/index.js'
import { sharedServer } from '../support/servers.js'
import { startRedis } from '../support/servers/redis.js'
import { configure, ownFolder, runJson } from './support.js'

const redis = await sharedServer('redis')
const folder = ownFolder()

describe('fragcache invalidate where entries are not counted', () => {
  const entryOf = async (cache: Cache) => {
    onTestFinished(() => cache.close())
    await cache.set('k', 1, { tags: ['t'] })
    return cache
  }

  it.skipIf(redis === undefined)('invalidates where a user may not list them', async () => {
    const server = await startRedis(['--user', 'app', 'on', '>pw', '~*', '&*', '+@all', '-scan'])
    onTestFinished(() => server.stop())
    const location = server.url.replace('//', '//app:pw@')
    const cache = await entryOf(new RedisCache({ location }))
    const config = configure(
      folder,
      `export default createCaches({ default: new RedisCache({ location: ${JSON.stringify(location)} }) })`,
    )
    const done = await runJson(['invalidate', '--tag', 't', '--config', config])
    expect(done).toMatchObject({ code: 0, error: '', json: { entries: { default: null } } })
    expect(await cache.has('k')).toBe(false)
  })

  it('does not look through a large store to the end', async () => {
    const cache = await entryOf(new FileBasedCache({ location: join(folder, 'large') }))
    const caches = createCaches({ default: cache })
    const output = { out: () => undefined, error: () => undefined }
    const config = { path: 'fragcache.config.js', exported: caches, pages: undefined }
    const session = new Session('invalidate', config, caches, output, false)
    expect(await countEntries(session, 'default', () => true)).toBe(1)
    expect(await countEntries(session, 'default', () => true, -1)).toBeNull()
  })
})
