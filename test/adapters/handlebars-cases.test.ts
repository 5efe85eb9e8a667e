import { registerCache } from 'fragcache/handlebars'
import Handlebars from 'handlebars'
import {
  evaluate,
  readCases,
  testFragmentCases,
  type Driver,
} from '../conformance/fragment-suite.js'

const driver: Driver = {
  prepare({ templates, entry, helpers, options, backend }, caches) {
    const handlebars = Handlebars.create()
    for (const [name, source] of Object.entries(helpers ?? {})) {
      handlebars.registerHelper(name, evaluate<Handlebars.HelperDelegate>(source))
    }
    const { [entry]: main, ...partials } = templates
    handlebars.registerPartial(partials)
    const template = handlebars.compile(main, { ...options })
    if (caches === undefined) {
      handlebars.registerHelper('cache', function (this: unknown, ...args: unknown[]) {
        return (args.at(-1) as Handlebars.HelperOptions).fn(this)
      })
      return template
    }
    const { renderAsync } = registerCache(handlebars, caches)
    return backend === 'sync' ? template : (context) => renderAsync(template, context)
  },
}

testFragmentCases(driver, readCases('handlebars'))
