import { setTimeout as delay } from 'node:timers/promises'
import { Eta } from 'eta'
import express from 'express'
import { createCaches, FragmentCache, LocMemCache, type Caches } from 'fragcache'
import { cachePlugin } from 'fragcache/eta'
import { registerCache as registerHandlebars } from 'fragcache/handlebars'
import { registerCache as registerNunjucks } from 'fragcache/nunjucks'
import Handlebars from 'handlebars'
import nunjucks from 'nunjucks'
import { describe, expect, it, onTestFinished, vi } from 'vitest'
import { folderOfTest } from '../support/folders.js'
import { REFUSED } from '../support/personal-rows.js'
import { Site } from '../support/express.js'
import { sources } from './nunjucks-driver.js'
import { writeFileSync } from 'node:fs'
import { join } from 'node:path'

/* Fragments from code whose body renders a template, and other ways by which values reach templates. */

interface Options {
  readonly personal?: readonly string[]
  readonly strict?: boolean
}

type Render = (template: string, variables: object) => Promise<string>

const engines: readonly (readonly [
  string,
  (caches: Caches, options: Options) => Render,
  Readonly<Record<'shows' | 'includes' | 'title' | 'tag', string>>,
])[] = [
  [
    'Nunjucks',
    (caches, options) => {
      const env = new nunjucks.Environment(sources({ part: '{{ user.name }}' }))
      const { renderStringAsync } = registerNunjucks(env, caches, options)
      return renderStringAsync
    },
    {
      shows: '{{ user.name }}',
      includes: '{% include "part" %}',
      title: '{{ title }}',
      tag: '{% cache 60 inner user.id %}{{ user.name }}{% endcache %}',
    },
  ],
  [
    'Handlebars',
    (caches, options) => {
      const handlebars = Handlebars.create()
      handlebars.registerPartial('part', '{{user.name}}')
      return registerHandlebars(handlebars, caches, options).renderAsync
    },
    {
      shows: '{{user.name}}',
      includes: '{{> part}}',
      title: '{{title}}',
      tag: '{{#cache 60 "inner" user.id}}{{user.name}}{{/cache}}',
    },
  ],
  [
    'Eta',
    (caches, options) => {
      const eta = new Eta({ plugins: [cachePlugin(caches, options)] })
      eta.loadTemplate('@part', '<%= it.user.name %>', { async: true })
      return (template, variables) => eta.renderStringAsync(template, variables)
    },
    {
      shows: '<%= it.user.name %>',
      includes: '<%~ await includeAsync("@part") %>',
      title: '<%= it.title %>',
      tag: '<% cache 60 inner it.user.id %><%= it.user.name %><% endcache %>',
    },
  ],
]

const VISITORS = ['ann', 'ben'] as const
const contextOf = (name: string) => ({ user: { id: `id of ${name}`, name }, title: 'title' })

describe.each(engines)('a template of %s in a fragment from code', (_name, make, templates) => {
  const setUp = (options: Options) => {
    const caches = createCaches({ default: new LocMemCache() })
    const { strict } = options
    const fragments = new FragmentCache(caches, strict === undefined ? {} : { strict })
    return { fragments, render: make(caches, options) }
  }
  const both = { personal: ['user'], strict: true }

  it.each(['shows', 'includes', 'tag'] as const)(
    'is refused where it %s the visitor',
    async (of) => {
      const { fragments, render } = setUp(both)
      for (const name of VISITORS) {
        const made = fragments.render({ name: 'f', timeout: 60 }, () =>
          render(templates[of], contextOf(name)),
        )
        await expect(made).rejects.toMatchObject(REFUSED)
        await expect(made).rejects.toThrow('its name to inputs')
      }
    },
  )

  it('is not stored where the rules are not strict', async () => {
    const { fragments, render } = setUp({ ...both, strict: false })
    for (const name of VISITORS) {
      const body = async () => {
        await delay(1)
        return render(templates.shows, contextOf(name))
      }
      expect(await fragments.render({ name: 'f', timeout: 60 }, body)).toBe(name)
    }
  })

  it('is stored where its inputs name the visitor', async () => {
    const { fragments, render } = setUp(both)
    let runs = 0
    for (const name of [...VISITORS, ...VISITORS]) {
      const { user } = contextOf(name)
      const options = { name: 'f', timeout: 60, varyOn: [user.id], inputs: ['user'] }
      const body = () => {
        runs++
        return render(templates.shows, contextOf(name))
      }
      expect(await fragments.render(options, body)).toBe(name)
    }
    expect(runs).toBe(2)
  })

  it('is stored where it reads nothing of a visitor', async () => {
    const { fragments, render } = setUp(both)
    let runs = 0
    for (const name of VISITORS) {
      const body = () => {
        runs++
        return render(templates.title, contextOf(name))
      }
      expect(await fragments.render({ name: 'f', timeout: 60 }, body)).toBe('title')
    }
    expect(runs).toBe(1)
  })

  // Eta's templates without a tag are left as they are.
  it.skipIf(_name === 'Eta')('warns of the usual names while developing', async () => {
    const warnings: string[] = []
    const spy = vi.spyOn(process, 'emitWarning').mockImplementation(((text: string) => {
      warnings.push(text)
    }) as never)
    onTestFinished(() => spy.mockRestore())
    const { fragments, render } = setUp({})
    const name = `code-${_name}`
    await fragments.render({ name, timeout: 60 }, () => render(templates.shows, contextOf('ann')))
    expect(warnings).toEqual([
      expect.stringMatching(new RegExp(`fragment "${name}".*reads "user".*its name to inputs`)),
    ])
  })
})

it('sees what an asynchronous function of a body in Eta reads', async () => {
  const caches = createCaches({ default: new LocMemCache() })
  const eta = new Eta({ plugins: [cachePlugin(caches, { personal: ['user'], strict: true })] })
  const load = async (data: { user: { name: string } }) => {
    await delay(2)
    return data.user.name
  }
  for (const source of ['<%= await it.load(it) %>', '<% const p = it.load(it) %><%= await p %>']) {
    const made = eta.renderStringAsync(`<% cache 60 f %>${source}<% endcache %>`, {
      ...contextOf('ann'),
      load,
    })
    await expect(made).rejects.toMatchObject(REFUSED)
  }
})

it('sees what a filter of a body in Nunjucks reads, and an asynchronous one beside it', async () => {
  const env = new nunjucks.Environment(null)
  const caches = createCaches({ default: new LocMemCache() })
  env.addFilter('greets', function (this: { ctx: { user: { name: string } } }, text: string) {
    return `${text} ${this.ctx.user.name}`
  })
  env.addFilter(
    'later',
    (text: string, done: (error: null, text: string) => void) => {
      setTimeout(() => done(null, text), 1)
    },
    true,
  )
  const { renderStringAsync } = registerNunjucks(env, caches, { personal: ['user'], strict: true })
  const render = (varyOn: string) =>
    renderStringAsync(
      `{% cache 60 f ${varyOn} %}{{ "Hi" | greets }}{% endcache %}`,
      contextOf('ann'),
    )
  await expect(render('title|later')).rejects.toMatchObject(REFUSED)
  expect(await render('user.id|later')).toBe('Hi ann')
})

it('sees what a helper of a body in Handlebars reads', async () => {
  const handlebars = Handlebars.create()
  const caches = createCaches({ default: new LocMemCache() })
  handlebars.registerHelper('who', function (this: { user: { name: string } }) {
    return this.user.name
  })
  const { renderAsync } = registerHandlebars(handlebars, caches, {
    personal: ['user'],
    strict: true,
  })
  const made = renderAsync('{{#cache 60 "f"}}{{who}}{{/cache}}', contextOf('ann'))
  await expect(made).rejects.toMatchObject(REFUSED)
})

it.each(['app.locals', 'res.locals'] as const)('sees what %s gives a template', async (where) => {
  const views = folderOfTest()
  writeFileSync(join(views, 'page.njk'), '{% cache 60 f %}{{ flash.text }}{% endcache %}')
  const app = express()
  const env = nunjucks.configure(views, { express: app })
  registerNunjucks(env, createCaches({ default: new LocMemCache() }), {
    personal: ['flash'],
    strict: false,
  })
  app.get('/:name', (req, res) => {
    const locals = where === 'app.locals' ? app.locals : res.locals
    locals['flash'] = { text: `for ${req.params.name}` }
    res.render('page.njk')
  })
  const site = await Site.open(app)
  for (const name of VISITORS) expect((await site.get(`/${name}`)).text).toBe(`for ${name}`)
})
