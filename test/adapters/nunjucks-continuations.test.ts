import { createCaches, LocMemCache } from 'fragcache'
import { registerCache } from 'fragcache/nunjucks'
import nunjucks from 'nunjucks'
import { expect, it } from 'vitest'
import { AsyncTestCache } from '../support/async-cache.js'

type Callback = (error: unknown, text?: unknown) => void

const { setTimeout: later } = globalThis

it('what goes on after a render has failed keeps nobody waiting', async () => {
  const caches = createCaches({ default: new LocMemCache(), remote: new AsyncTestCache() })
  const env = new nunjucks.Environment()
  const { renderStringAsync } = registerCache(env, caches)
  env.addFilter('wait', (ms: number, callback: Callback) => later(callback, ms, null, ''), true)
  env.addFilter('fail', (_: number, callback: Callback) => callback(new Error('it failed')), true)
  const body = '{% cache 60 b %}b{% cache 60 c using="remote" %}c{% endcache %}{% endcache %}'
  const page = `{% asyncAll ms in [20, 1] %}{{ ms | wait }}{% if ms == 1 %}{{ ms | fail }}{% endif %}${body}{% endall %}`
  await expect(renderStringAsync(page)).rejects.toThrow('it failed')
  await new Promise((resolve) => later(resolve, 40))
  expect(await renderStringAsync(body)).toBe('bc')
})
