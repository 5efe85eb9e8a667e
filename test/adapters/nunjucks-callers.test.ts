import { createCaches, FragmentCache } from 'fragcache'
import { registerCache } from 'fragcache/nunjucks'
import nunjucks from 'nunjucks'
import { describe, expect, it } from 'vitest'
import { fragmentsTold } from '../fragment/told.js'
import { AsyncTestCache } from '../support/async-cache.js'
import { sources } from './nunjucks-driver.js'

const told = fragmentsTold()

function setUp(templates = {}) {
  const caches = createCaches({ default: new AsyncTestCache() })
  const env = new nunjucks.Environment(sources(templates))
  const registered = registerCache(env, caches)
  return { env, caches, ...registered }
}

describe('a body that has to be rendered with its template, since it calls its caller', () => {
  const macro = `{% macro m() %}{% cache 60 b %}({{ caller(1) }}{% cache 60 c %}c{% endcache %}){% endcache %}{% endmacro %}`

  it.each([
    [
      'in a tag',
      `${macro}{% cache 60 a %}{% call(x) m() %}{{ x }}{% endcall %}{% endcache %}`,
      '(1c)',
    ],
    [
      'in a tag, with a nocache block',
      `${macro}{% cache 60 a %}{% call(x) m() %}{{ x }}{% nocache %}n{% endnocache %}{% endcall %}{% endcache %}`,
      '(1nc)',
    ],
  ])('%s, keeps nothing around it from being stored while it is a hit', async (_, page, text) => {
    const { caches, renderStringAsync } = setUp()
    const fragments = new FragmentCache(caches)
    expect(await renderStringAsync(page)).toBe(text)
    await fragments.invalidate('a')
    told.messages.length = 0
    expect(await renderStringAsync(page)).toBe(text)
    expect(await renderStringAsync(page)).toBe(text)
    expect(told.outcomes()).toEqual(['b:hit', 'a:miss', 'a:hit'])
  })
})
