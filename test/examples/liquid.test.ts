import { randomUUID } from 'node:crypto'
import { readFileSync } from 'node:fs'
import { createCaches, LocMemCache } from 'fragcache'
import { RedisCache } from 'fragcache/redis'
import { testEngine } from 'fragcache/testing'
import { Liquid } from 'liquidjs'
import { describe, expect, it } from 'vitest'
import { deferredLiquidEngine, liquidEngine } from '../../examples/liquid/engine-under-test.js'
import { registerCache } from '../../examples/liquid/liquid-cache.js'
import { inProject } from '../support/samples.js'
import { sharedServer } from '../support/servers.js'

const server = await sharedServer('redis')
// A busy machine answers late, which is no outage.
const options = { timeLimitMs: 10_000 }
const stores =
  server === undefined
    ? {}
    : { Redis: () => new RedisCache({ location: server.url, keyPrefix: randomUUID(), options }) }

testEngine('the cache tag of LiquidJS', { ...liquidEngine, stores }, { describe, it })
testEngine('the same, put off', { ...deferredLiquidEngine, stores }, { describe, it })

describe('the example of an engine of one’s own', () => {
  it('is a cache tag for LiquidJS in at most 250 lines', () => {
    const source = readFileSync(inProject('examples/liquid/liquid-cache.ts'), 'utf8')
    expect(source.trimEnd().split('\n').length).toBeLessThanOrEqual(250)
  })

  it('stands in the documentation as it is tested', () => {
    const page = readFileSync(inProject('docs/engines-of-your-own.md'), 'utf8')
    const spelt = readFileSync(inProject('examples/liquid/engine-under-test.ts'), 'utf8')
    expect(page).toContain(`\`\`\`ts\n${spelt}\`\`\``)
  })

  it('has the dialect of Liquid: filters, none, what is true', async () => {
    const liquid = new Liquid()
    registerCache(liquid, createCaches({ default: new LocMemCache() }))
    const page =
      '{% cache none f user.name | upcase if=empty %}{% assign x = user.name %}{{ x }}{% endcache %}{{ x }}'
    expect(await liquid.parseAndRender(page, { user: { name: 'Ann' }, empty: '' })).toBe('Ann')
    expect(await liquid.parseAndRender(page, { user: { name: 'ANN' }, empty: '' })).toBe('Ann')
  })

  it.each(['break', 'continue'])('refuses a body that %s leaves', async (word) => {
    const liquid = new Liquid()
    registerCache(liquid, createCaches({ default: new LocMemCache() }))
    const page = `{% for i in (1..3) %}{% cache 500 f i %}{% ${word} %}{% endcache %}{% endfor %}`
    await expect(liquid.parseAndRender(page)).rejects.toThrow(/"f".*break or continue/)
  })
})
