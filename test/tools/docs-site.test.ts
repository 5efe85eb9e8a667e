import { mkdirSync, rmSync, writeFileSync } from 'node:fs'
import { dirname, join } from 'node:path'
import { describe, expect, it } from 'vitest'
import { faultsInSite } from '../../scripts/docs-site.mjs'
import { folderOfTest } from '../support/folders.js'

const site = 'docs/.vitepress/dist'
const index = `${site}/assets/chunks/@localSearchIndexroot.Bs8.js`
const home = '<button class="DocSearch-Button"></button><a href="/api/index.html">API</a>'
const manifest = {
  name: 'shop',
  exports: { '.': { types: 'a' }, './redis': { types: 'b' }, './package.json': './package.json' },
}

/** A project with its site, as it is built. */
function project(): string {
  const root = folderOfTest()
  write(root, {
    'package.json': JSON.stringify(manifest),
    'docs/README.md': '# Home',
    'docs/holes.md': '# Holes',
    'docs/backends/README.md': '# Backends',
    'docs/public/api/notes.md': '# No page',
    [`${site}/index.html`]: home,
    [`${site}/holes.html`]: '<h1 id="holes">Holes</h1> <a href="./backends/#a-visitor’s">',
    [`${site}/backends/index.html`]: '<h2 id="a-visitor’s"> <a href="#a-visitor%E2%80%99s">',
    [index]: `const e='{"documentIds":{"0":"/#home","1":"/holes","2":"/backends/#backends"}}';`,
    [`${site}/api/index.html`]: '<a href="modules/shop.html"><a href="modules/shop_redis.html">',
    [`${site}/api/modules/shop.html`]: 'shop',
    [`${site}/api/modules/shop_redis.html`]: 'shop/redis',
  })
  return root
}

function write(root: string, files: Readonly<Record<string, string>>): void {
  for (const [path, text] of Object.entries(files)) {
    mkdirSync(dirname(join(root, path)), { recursive: true })
    writeFileSync(join(root, path), text)
  }
}

describe('node scripts/docs-site.mjs', () => {
  it('lets a site pass that has its pages, the search and the API reference', () => {
    expect(faultsInSite(project())).toEqual([])
  })

  it.each<[string, string, string, string[]]>([
    [
      'the search',
      `${site}/index.html`,
      '<a href="/api/index.html">',
      ['index.html has no search'],
    ],
    [
      'a link to the API reference',
      `${site}/index.html`,
      '<button class="DocSearch-Button">',
      ['index.html does not lead to the API reference'],
    ],
    [
      'a page in the search',
      index,
      `const e='{"documentIds":{"0":"/#home","1":"/holes#holes"}}';`,
      ['the search does not find /backends/'],
    ],
    [
      'a subpath in the API reference',
      `${site}/api/index.html`,
      '<a href="modules/shop.html">',
      ['api/index.html does not lead to modules/shop_redis.html'],
    ],
    [
      'a heading that is linked to',
      `${site}/holes.html`,
      '<h1 id="holes">Holes</h1> <a href="./backends/#a-visitors"> <a href="https://a.example/#b">',
      ['holes.html links to no heading: ./backends/#a-visitors'],
    ],
  ])('says that %s is missing', (_, path, text, faults) => {
    const root = project()
    write(root, { [path]: text })
    expect(faultsInSite(root)).toEqual(faults)
  })

  it.each([
    ['a page', `${site}/holes.html`, ['holes.html is missing']],
    ['the index of the search', index, ['there is no index for the search']],
    ['a subpath', `${site}/api/modules/shop.html`, ['api/modules/shop.html is missing']],
  ])('says that %s was not built', (_, path, faults) => {
    const root = project()
    rmSync(join(root, path))
    expect(faultsInSite(root)).toEqual(faults)
  })
})
