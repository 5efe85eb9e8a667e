import { afterAll, describe, expect, it } from 'vitest'
import { SampleRunner } from '../support/run-sample.js'
import { samplesOf } from '../support/samples.js'

const recipes = ['docs/eta.md', 'docs/handlebars.md']
  .flatMap(samplesOf)
  .filter(({ code }) => code.includes('// The recipe:'))

describe('the recipes that make an engine one of Express', () => {
  const runner = new SampleRunner()
  afterAll(() => runner.remove())

  it('are there', () => {
    expect(recipes.map(({ page }) => page)).toEqual([
      'docs/eta.md',
      'docs/handlebars.md',
      'docs/handlebars.md',
    ])
  })

  it.each(recipes)('$page:$line needs at most ten lines', ({ code }) => {
    const [, recipe] = /\/\/ The recipe:\n(.*?)\n\n/s.exec(code) ?? []
    expect(recipe?.split('\n').length).toBeLessThanOrEqual(10)
  })

  it.each(recipes)('$page:$line prints the same in Express 4', async (sample) => {
    const code = sample.code.replace("from 'express'", "from 'express4'")
    expect((await runner.run(sample, code)).printed).toEqual(sample.prints)
  })
})
