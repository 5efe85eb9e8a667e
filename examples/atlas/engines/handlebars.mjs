import { registerCache } from 'fragcache/handlebars'
import Handlebars from 'handlebars'
import { readFileSync, readdirSync } from 'node:fs'
import { basename, join } from 'node:path'
import { viewsOf } from './views.mjs'

/** The templates of views/handlebars, with their caches. */
export function createHandlebars(caches, ask) {
  const handlebars = Handlebars.create()
  const holes = registerCache(handlebars, caches, { digest: true })
  handlebars.registerHelper('same', (a, b) => a === b)
  handlebars.registerHelper('tagsOf', (kind, id) => [`${kind}:${id}`])
  // Handlebars hands its options to every helper as the last argument.
  handlebars.registerHelper('ask', (...args) => ask(...args.slice(0, -1)))
  const views = viewsOf('handlebars')
  const templates = new Map(
    readdirSync(views).map((file) => [
      basename(file, '.hbs'),
      handlebars.compile(readFileSync(join(views, file), 'utf8')),
    ]),
  )
  handlebars.registerPartial(Object.fromEntries(templates))
  return {
    name: 'handlebars',
    extension: 'hbs',
    render: (page, context) => holes.renderAsync(templates.get(page), context),
    holes,
  }
}
