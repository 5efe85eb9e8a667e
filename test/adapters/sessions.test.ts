import { setTimeout as sleep } from 'node:timers/promises'
import Handlebars from 'handlebars'
import nunjucks from 'nunjucks'
import { describe, expect, it } from 'vitest'
import { registerCache as registerHandlebars } from '../../adapters/handlebars/index.js'
import { registerCache as registerNunjucks } from '../../adapters/nunjucks/index.js'
import { createCaches } from '../../src/index.js'
import { AsyncTestCache } from '../support/async-cache.js'

const setUp = () => createCaches({ default: new AsyncTestCache() })

describe('tags of a template that goes on later', () => {
  it('are found in one of another environment, which has an asynchronous filter', async () => {
    const caches = setUp()
    const [one, other] = [new nunjucks.Environment(null), new nunjucks.Environment(null)]
    const later = (text: string, done: (error: null, text: string) => void) => {
      setTimeout(() => done(null, `${text}!`), 5)
    }
    const { renderStringAsync } = registerNunjucks(one, caches)
    registerNunjucks(other, caches)
    other.addFilter('later', later as never, true)
    const inner = new nunjucks.Template(
      '{{ "x" | later }}{% cache 500 inner %}I{% endcache %}',
      other,
    )
    expect(await renderStringAsync('[{% include t %}]', { t: inner })).toBe('[x!I]')
  })

  it('are found behind a function that waits before it calls a template of Handlebars', async () => {
    const instance = Handlebars.create()
    const { renderAsync } = registerHandlebars(instance, setUp())
    const template = instance.compile('{{#cache 500 "b"}}B{{/cache}}')
    const waits = async (context: unknown) => {
      await sleep(5)
      return template(context)
    }
    expect(await renderAsync(waits, {})).toBe('B')
    expect(await renderAsync(Object.assign(waits, template), {})).toBe('B')
  })
})

describe('pages that are rendered at once beside each other', () => {
  it('keep their fragments apart', async () => {
    const caches = setUp()
    const instance = Handlebars.create()
    const { renderAsync } = registerHandlebars(instance, caches)
    const env = registerNunjucks(new nunjucks.Environment(null), caches)
    const page = instance.compile('{{user}}:{{#cache 500 "h" user}}{{user}}{{/cache}}')
    const source = '{{ user }}:{% cache 500 n user %}{{ user }}{% endcache %}'
    const users = Array.from({ length: 40 }, (_, i) => `u${i % 20}`)
    const pages = await Promise.all(
      users.flatMap((user) => [
        renderAsync(page, { user }),
        env.renderStringAsync(source, { user }),
      ]),
    )
    expect(pages).toEqual(users.flatMap((user) => [`${user}:${user}`, `${user}:${user}`]))
  })
})
