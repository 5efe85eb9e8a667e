import { afterAll, describe, expect, it } from 'vitest'
import { SampleRunner } from '../support/run-sample.js'
import { samplesOf } from '../support/samples.js'

const recipes = ['docs/eta.md', 'docs/handlebars.md']
  .flatMap(samplesOf)
  .filter(({ code }) => code.includes('app.engine('))

describe('the line that makes an engine one of Express', () => {
  const runner = new SampleRunner()
  afterAll(() => runner.remove())

  it('is shown for Eta, express-handlebars and hbs', () => {
    const lines = recipes.flatMap(({ code }) => /^app\.engine.*\n/m.exec(code) ?? [])
    expect(lines).toEqual([
      "app.engine('eta', cacheEngine(new Eta({ cache: true }), caches))\n",
      "app.engine('hbs', cacheEngine(create({ extname: '.hbs' }), caches))\n",
      "app.engine('hbs', cacheEngine(hbs, caches))\n",
    ])
  })

  it.each(recipes)('$page:$line prints the same in Express 4', async (sample) => {
    const code = sample.code.replace("from 'express'", "from 'express4'")
    expect((await runner.run(sample, code)).printed).toEqual(sample.prints)
  })
})
