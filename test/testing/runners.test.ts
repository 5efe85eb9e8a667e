import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { Consumer } from '../support/consumer.js'
import { projectRoot, run, type Outcome } from '../support/project.js'

/** A site and its tests, as a user has them; `test` is the runner's. */
const suite = `
import assert from 'node:assert/strict'
import { createServer } from 'node:http'
import { createCaches, LocMemCache } from 'fragcache'
import { responseCache } from 'fragcache/node'
import { expectDropped, expectHit, expectMiss, sameForAll, useTestClock } from 'fragcache/testing'

const caches = createCaches({ default: new LocMemCache() })
const pages = responseCache(caches)
let made = 0
const news = pages.handler((req, res) => res.end('news, made ' + ++made), { seconds: 60, tags: ['news'] })
const name = (req) => (req.headers.cookie === 'sid=1' ? 'Ann' : 'guest')
const greeting = async (req, res) => res.end(await caches.default.getOrSet('greeting', () => name(req)))
const app = (req, res) => (req.url === '/hello' ? greeting(req, res) : news(req, res))
const visitors = { anonymous: {}, ann: { cookie: 'sid=1' } }

async function ask(check) {
  const server = createServer(app)
  await new Promise((listening) => server.listen(0, '127.0.0.1', listening))
  try {
    await check((path) => fetch('http://127.0.0.1:' + server.address().port + path))
  } finally {
    server.closeAllConnections()
    await new Promise((closed) => server.close(closed))
  }
}
`
const passing = `
test('hits, and what time makes of them', () =>
  ask(async (get) => {
    await caches.default.clear()
    expectMiss(await get('/'))
    expectHit(await get('/'))
    const clock = useTestClock(caches)
    await clock.advance(61)
    expectMiss(await get('/'))
    await clock.restore()
  }))
test('what saving drops', async () => {
  assert.equal(await expectDropped(caches, 'news', () => caches.invalidateTags(['news']).then(() => 1)), 1)
})
test('what is the same for all', () => sameForAll(app, '/', visitors, { caches, ignore: /made \\d+/ }))
`
const failing = `
test('a hit', () => ask(async (get) => {
  await caches.default.clear()
  expectHit(await get('/'))
}))
test('a miss', () => ask(async (get) => {
  await get('/')
  expectMiss(await get('/'))
}))
test('a drop', () => expectDropped(caches, 'news', () => undefined))
test('a leak', () => sameForAll(app, '/hello', visitors, { caches }))
`

const module = (name: string) => `${projectRoot}/node_modules/${name}`

interface Runner {
  readonly name: string
  /** Where `test` comes from. */
  readonly imports: string
  readonly args: (file: string) => readonly string[]
}

const runners: readonly Runner[] = [
  {
    name: 'node:test',
    imports: "import { test } from 'node:test'",
    args: (file) => ['--test', '--test-reporter=spec', file],
  },
  {
    name: 'Vitest',
    imports: "import { test } from 'vitest'",
    args: (file) => [module('vitest/vitest.mjs'), 'run', '--no-color', file],
  },
  {
    name: 'Jest',
    imports: '',
    args: (file) => ['--experimental-vm-modules', module('jest/bin/jest.js'), '--no-color', file],
  },
]

let consumer: Consumer

beforeAll(async () => {
  consumer = await Consumer.install()
  await consumer.link('vitest')
  const jest = { transform: {}, testMatch: ['**/*.test.mjs'], watchman: false }
  await consumer.write('jest.config.json', JSON.stringify(jest))
}, 180_000)

afterAll(() => consumer.remove())

describe.each(runners)('tests of a site in $name', ({ imports, args }) => {
  beforeAll(async () => {
    await consumer.write('passing.test.mjs', imports + suite + passing)
    await consumer.write('failing.test.mjs', imports + suite + failing)
  })

  const runFile = (file: string): Promise<Outcome> =>
    run(process.execPath, args(file), consumer.folder)

  it('pass', async () => {
    const { code, out, error } = await runFile('passing.test.mjs')
    expect({ code, said: code === 0 ? '' : out + error }).toEqual({ code: 0, said: '' })
    expect(out + error).toMatch(/\b3 passed|pass 3\b/)
  })

  it('fail with what is to be done', async () => {
    const { code, out, error } = await runFile('failing.test.mjs')
    const said = out + error
    expect(code).not.toBe(0)
    expect(said).toMatch(/\b4 failed|fail 4\b/)
    expect(said).toContain('expectHit: the response did not come from the cache.')
    expect(said).toContain('expectMiss: the response came from the cache, with')
    expect(said).toContain('expectDropped: what has the tag "news" is still served')
    expect(said).toContain('sameForAll: "ann" gets another answer at /hello')
    expect(said).toContain('Name what it differs by')
  })
})
