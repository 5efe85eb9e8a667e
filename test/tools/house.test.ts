import { mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { dirname, join } from 'node:path'
import { afterEach, describe, expect, it } from 'vitest'
import { measure, missed, report, type House } from '../../scripts/house.mjs'

let folder: string | undefined
afterEach(async () => {
  if (folder !== undefined) await rm(folder, { recursive: true })
  folder = undefined
})

/** What is measured in a project of these files. */
async function houseOf(files: Readonly<Record<string, string>>): Promise<House> {
  folder = await mkdtemp(join(tmpdir(), 'fragcache-house-'))
  for (const [name, text] of Object.entries(files)) {
    const path = join(folder, name)
    await mkdir(dirname(path), { recursive: true })
    await writeFile(path, text)
  }
  return measure(folder)
}

function row(house: House, what: string) {
  const found = house.rows.find((one) => one.what.startsWith(what))
  if (found === undefined) throw new Error(`no row begins with ${what}`)
  return found
}

const repeat = (count: number, line: (number: number) => string) =>
  Array.from({ length: count }, (_, number) => line(number)).join('\n')

describe('npm run house', () => {
  it.each([
    ['a value', `import { b } from './b.js'\nexport const a = () => b`],
    ['a type', `import type { B } from './b.js'\nexport type A = B`],
    ['a type in passing', `export type A = import('./b.js').B`],
    ['what is passed on', `export * from './b.js'`],
    ['what is loaded later', `export const a = () => import('./b.js')`],
  ])('finds a circle that is closed by the import of %s', async (_, text) => {
    const house = await houseOf({
      'src/a.ts': text,
      'src/b.ts': `export type { C as B } from './c.js'\nexport const b = 1`,
      'src/c.ts': `import './a.js'\nexport interface C {}`,
      'src/beside.ts': `import './a.js'`,
    })
    expect(row(house, 'import circles').today).toBe(1)
    expect(house.circles).toEqual([
      {
        files: ['src/a.ts', 'src/b.ts', 'src/c.ts'],
        shortest: ['src/a.ts', 'src/b.ts', 'src/c.ts', 'src/a.ts'],
      },
    ])
    expect(missed(house).map(({ what }) => what)).toEqual(['import circles, types included'])
    expect(report(house)).toContain('src/a.ts → src/b.ts → src/c.ts → src/a.ts')
  })

  it('finds no circle where two files import a third', async () => {
    const house = await houseOf({
      'src/a.ts': `import './b.js'\nimport './c.js'`,
      'src/b.ts': `import './c.js'`,
      'src/c.ts': `import 'node:fs'`,
    })
    expect(house.circles).toEqual([])
    expect(missed(house)).toEqual([])
  })

  it('lists the files over 450 lines, the longest first', async () => {
    const house = await houseOf({
      'src/limit.ts': `${repeat(450, () => '//')}\n`,
      'src/long.ts': `${repeat(451, () => '//')}\n`,
      'adapters/longer.ts': `${repeat(500, () => '')}//\n`,
    })
    expect(house.longFiles).toEqual([
      { file: 'adapters/longer.ts', lines: 500 },
      { file: 'src/long.ts', lines: 451 },
    ])
    expect(row(house, 'files over 450 lines').today).toBe(2)
  })

  it('counts what a class has and inherits, hidden or not, each name once', async () => {
    const house = await houseOf({
      'src/base.ts': `export abstract class Base {
        /** @internal */ hidden = 1
        protected shared = 2
        readonly fixed = 3
        abstract find(): void
        get size() { return 1 }
        set size(size) {}
        #secret() {}
      }`,
      'src/large.ts': `import { Base as Parent } from './base.js'
      export class Large extends Parent {
        #own = 1
        static last = 2
        readonly #fixed = 3
        readonly arrow = () => 1
        constructor(private given: number, readonly kept: number, passed: number) { super() }
        override find() {}
        more(): void
        more(much?: number) {}
        static of() {}
      }`,
      'src/small.ts': `export class Small { only() {} }`,
    })
    const where = 'Large (src/large.ts)'
    // size, #secret, arrow, find, more, static of
    expect(row(house, 'most methods')).toMatchObject({ today: 6, where })
    // hidden, shared, #own, static last, given
    expect(row(house, 'most mutable fields')).toMatchObject({ today: 5, where })
  })

  it('names a goal that a class misses', async () => {
    const members = `${repeat(26, (n) => `method${n}() {}`)}\n${repeat(9, (n) => `field${n} = 1`)}`
    const house = await houseOf({ 'src/landscape.ts': `export class Landscape {\n${members}\n}` })
    expect(missed(house).map(({ what }) => what)).toEqual([
      'most methods of a class',
      'most mutable fields of a class',
    ])
  })

  it('counts lines of code without comments, blanks and the inspector', async () => {
    const house = await houseOf({
      'src/a.ts': [
        '/** A docstring', ' * of two lines. */', 'export const a = 1 // said beside', '',
        '// a comment', 'export const text = `first', '', 'third // is text`',
      ].join('\n'), // prettier-ignore
      'adapters/express/b.ts': 'export const b =\n  /x\\/\\/y/\n',
      'adapters/inspector/c.ts': 'export const c = 1\n',
    })
    expect(row(house, 'lines of code without the inspector').today).toBe(5)
    expect(row(house, 'lines of code in adapters/express').today).toBe(2)
  })
})
