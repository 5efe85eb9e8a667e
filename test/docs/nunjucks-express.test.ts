import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { once } from 'node:events'
import type { AddressInfo } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { createCaches, LocMemCache } from 'fragcache'
import { registerCache } from 'fragcache/nunjucks'
import nunjucks from 'nunjucks'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { AsyncTestCache } from '../support/async-cache.js'
import { expressVersions } from '../support/express.js'

let views: string

beforeAll(() => {
  views = mkdtempSync(join(tmpdir(), 'nunjucks-views-'))
  writeFileSync(
    join(views, 'index.njk'),
    '{% cache 60 hello user %}<p>{{ user }}, {{ visit() }}</p>{% endcache %}',
  )
})

afterAll(() => rmSync(views, { recursive: true, force: true }))

describe.each(expressVersions)('the recipe on $version', ({ express }) => {
  it.each([
    ['local memory', () => new LocMemCache()],
    ['a cache that answers later', () => new AsyncTestCache({})],
  ])('renders views over %s', async (_, newCache) => {
    const app = express()
    const env = nunjucks.configure(views, { express: app })
    registerCache(env, createCaches({ default: newCache() }))
    app.set('view engine', 'njk')
    let visits = 0
    env.addGlobal('visit', () => ++visits)
    app.get('/:user', (req, res) => res.render('index', { user: req.params.user }))

    const server = app.listen(0, '127.0.0.1')
    await once(server, 'listening')
    const { port } = server.address() as AddressInfo
    const read = async (user: string) => (await fetch(`http://127.0.0.1:${port}/${user}`)).text()
    try {
      expect(await read('ann')).toBe('<p>ann, 1</p>')
      expect(await read('ann')).toBe('<p>ann, 1</p>')
      expect(await read('%3Cb%3E')).toBe('<p>&lt;b&gt;, 2</p>')
    } finally {
      server.close()
      server.closeAllConnections()
    }
  })
})
