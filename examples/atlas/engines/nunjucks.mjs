import { registerCache } from 'fragcache/nunjucks'
import nunjucks from 'nunjucks'
import { viewsOf } from './views.mjs'

/** The templates of views/nunjucks, with their caches. */
export function createNunjucks(caches, ask) {
  const loader = new nunjucks.FileSystemLoader(viewsOf('nunjucks'))
  const env = new nunjucks.Environment(loader, { autoescape: true })
  env.addGlobal('ask', ask)
  const holes = registerCache(env, caches, { digest: true })
  return {
    name: 'nunjucks',
    extension: 'njk',
    render: (page, context) => holes.renderAsync(`${page}.njk`, context),
    holes,
  }
}
