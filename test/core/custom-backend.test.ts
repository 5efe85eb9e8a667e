import { readFileSync } from 'node:fs'
import { describe, expect, it } from 'vitest'
import { inProject } from '../support/samples.js'

const EXAMPLE = 'examples/custom-backend'
const read = (path: string) => readFileSync(inProject(path), 'utf8')

// test/package/types.test.ts compiles it and runs its suite.
describe('the example of a backend of one’s own', () => {
  it('stands in the documentation as it is tested', () => {
    const page = read('docs/backends/custom.md')
    const blocks = page
      .match(/^```ts[^]*?^```$/gm)
      ?.map((block) => block.slice(block.indexOf('\n') + 1))
    for (const name of ['map-cache.ts', 'map-cache.test.ts']) {
      expect(blocks).toContain(`${read(`${EXAMPLE}/${name}`)}\`\`\``)
    }
  })

  it('implements everything in some sixty lines', () => {
    const code = read(`${EXAMPLE}/map-cache.ts`)
    const lines = code.slice(code.indexOf('export class')).trimEnd().split('\n')
    expect(lines.length).toBeLessThanOrEqual(65)
  })
})
