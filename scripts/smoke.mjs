// Copied into a folder where the packed tarball and its peers are installed, and run there: loads every
// subpath by import and by require, then uses each once. Prints one line, and fails at the first fault.
import assert from 'node:assert/strict'
import { execFile } from 'node:child_process'
import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises'
import { createServer } from 'node:http'
import { createRequire } from 'node:module'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { promisify } from 'node:util'

const require = createRequire(import.meta.url)
const runtime = ['Deno', 'Bun'].find((name) => name in globalThis) ?? 'Node'
const run = promisify(execFile)
const manifest = JSON.parse(await readFile(require.resolve('fragcache/package.json'), 'utf8'))

const subpaths = Object.keys(manifest.exports).filter((subpath) => subpath !== './package.json')
for (const subpath of subpaths) {
  const specifier = subpath.replace('.', 'fragcache')
  const imported = await import(specifier)
  const required = require(specifier)
  assert.ok(Object.keys(imported).length > 0, `${specifier} exports nothing`)
  assert.deepEqual(Object.keys(required).sort(), Object.keys(imported).sort(), specifier)
}

const { createCaches, LocMemCache, FragmentCache } = await import('fragcache')
const { FileBasedCache } = await import('fragcache/file')

const folder = await mkdtemp(join(tmpdir(), 'fragcache-smoke-'))
try {
  for (const cache of [new LocMemCache({}), new FileBasedCache({ location: folder })]) {
    await cache.set('answer', { number: 42 }, { timeout: 60 })
    assert.deepEqual(await cache.get('answer'), { number: 42 })
    assert.equal(await cache.incr('count', 1).catch(({ code }) => code), 'FRAGCACHE_KEY_NOT_FOUND')
    assert.equal(await cache.delete('answer'), true)
    assert.equal(await cache.get('answer'), undefined)
    await cache.close()
  }
} finally {
  await rm(folder, { recursive: true, force: true })
}

/** The same fragment in each engine: the second visit must show the text of the first. */
async function twice(engine, render) {
  const texts = [
    await render({ user: 'ada', text: 'first' }),
    await render({ user: 'ada', text: 'second' }),
  ]
  assert.deepEqual(
    texts.map((text) => text.trim()),
    ['first', 'first'],
    engine,
  )
  assert.equal((await render({ user: 'bob', text: 'third' })).trim(), 'third', engine)
}

const newCaches = () => createCaches({ default: new LocMemCache({}) })

{
  const nunjucks = require('nunjucks')
  const { registerCache } = await import('fragcache/nunjucks')
  const env = new nunjucks.Environment()
  const { renderStringAsync } = registerCache(env, newCaches())
  const template = '{% cache 60 greeting user %}{{ text }}{% endcache %}'
  await twice('nunjucks', (context) => renderStringAsync(template, context))
}
{
  const handlebars = require('handlebars').create()
  const { registerCache } = await import('fragcache/handlebars')
  const { renderAsync } = registerCache(handlebars, newCaches())
  const template = handlebars.compile('{{#cache 60 "greeting" user}}{{text}}{{/cache}}')
  await twice('handlebars', (context) => renderAsync(template, context))
}
{
  const { Eta } = await import('eta')
  const { cachePlugin } = await import('fragcache/eta')
  const eta = new Eta({ plugins: [cachePlugin(newCaches())] })
  const template = '<% cache 60 greeting it.user %><%= it.text %><% endcache %>'
  await twice('eta', (context) => eta.renderStringAsync(template, context))
}
{
  const express = require('express')
  const { responseCache } = await import('fragcache/express')
  const app = express()
  let visits = 0
  app.get('/', responseCache(newCaches(), {}).cachePage(60), (_request, response) => {
    visits += 1
    response.send(`visit ${visits}`)
  })
  const server = createServer(app)
  await new Promise((resolve) => server.listen(0, '127.0.0.1', resolve))
  const { port } = server.address()
  const bodies = []
  for (let visit = 0; visit < 2; visit += 1) {
    const response = await fetch(`http://127.0.0.1:${port}/`)
    bodies.push(await response.text())
  }
  server.close()
  server.closeAllConnections()
  assert.deepEqual(bodies, ['visit 1', 'visit 1'])
}
{
  const fragments = new FragmentCache(newCaches())
  const html = await fragments.render({ name: 'code', timeout: 60, varyOn: [1] }, () => '<b>1</b>')
  assert.equal(html, '<b>1</b>')
  assert.equal(await fragments.delete('code', [1]), true)
}
{
  const program = join(require.resolve('fragcache/package.json'), '..', manifest.bin.fragcache)
  const app = await mkdtemp(join(tmpdir(), 'fragcache-smoke-'))
  const config = (
    alias,
  ) => `import { createCaches, DummyCache } from ${JSON.stringify(import.meta.resolve('fragcache'))}
    ${alias}
    export default createCaches({ [alias]: new DummyCache() })`
  const clear = async (name, alias, cwd) => {
    await writeFile(join(cwd, name), config(alias))
    const args = [program, 'clear', 'default', '--config', name]
    return run(process.execPath, args, { cwd }).then(
      ({ stdout }) => stdout.trim(),
      ({ stderr }) => stderr.trim(),
    )
  }
  try {
    const isRunByNode = (process.features.typescript ?? false) !== false
    // Outside of this folder, where nothing else runs TypeScript.
    const alone = await clear('typed.mts', "const alias: string = 'default'", app)
    if (isRunByNode) assert.equal(alone, 'default was cleared')
    else assert.match(alone, /needs Node 22\.18 or later, or the package tsx or jiti/)
    const more = "enum Alias { first = 'default' }\nconst alias = Alias.first"
    // Deno and Bun run all of TypeScript, Node what can be stripped.
    const wanted = runtime === 'Node' ? /the package tsx or jiti/ : /^default was cleared$/
    assert.match(await clear('more.mts', more, app), wanted)
    assert.equal(await clear('more.mts', more, process.cwd()), 'default was cleared')
  } finally {
    await rm(app, { recursive: true, force: true })
  }
}
console.log(
  `${runtime} ${process.versions[runtime.toLowerCase()]}: ${subpaths.length} subpaths load both ways and work`,
)
