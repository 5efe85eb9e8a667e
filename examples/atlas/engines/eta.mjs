import { Eta } from 'eta'
import { cachePlugin } from 'fragcache/eta'
import { viewsOf } from './views.mjs'

/** The templates of views/eta, with their caches. */
export function createEta(caches, ask) {
  const plugin = cachePlugin(caches, { digest: true })
  const eta = new Eta({ views: viewsOf('eta'), cache: true, plugins: [plugin] })
  return {
    name: 'eta',
    extension: 'eta',
    render: (page, context) => eta.renderAsync(`./${page}`, { ...context, ask }),
    holes: plugin,
  }
}
