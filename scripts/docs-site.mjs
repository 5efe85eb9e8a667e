// Says what is missing in the built site of the documentation; `npm run docs:build` asks it last.
//
//   node scripts/docs-site.mjs        fails where a page is not there, the search does not find it, a link leads to
//                                     no heading, or a subpath of the package is not in the API reference
import { existsSync, readdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'

/** The index of the search is a script with JSON in it. Each of its texts has an address as its id. */
const SEARCH_INDEX = /^@localSearchIndex.*\.js$/

/** The addresses of the documentation's pages: `docs/backends/README.md` is `/backends/`. */
function addressesIn(docs) {
  return readdirSync(docs, { recursive: true })
    .map((path) => path.replaceAll('\\', '/'))
    .filter((path) => path.endsWith('.md') && !/^(public|\.vitepress)\//.test(path))
    .map((path) => `/${path.replace(/(^|\/)README\.md$/, '$1').replace(/\.md$/, '')}`)
    .sort()
}

/** Addresses that the search leads to. */
function foundBySearch(site) {
  const chunks = join(site, 'assets', 'chunks')
  const index = existsSync(chunks)
    ? readdirSync(chunks).find((name) => SEARCH_INDEX.test(name))
    : undefined
  if (index === undefined) return undefined
  const ids = readFileSync(join(chunks, index), 'utf8').matchAll(/"\d+":"(\/[^"#]*)(?:#[^"]*)?"/g)
  return new Set([...ids].map(([, address]) => address))
}

/** Where the page of an address lies in the site. */
const pathOf = (address) => `${address.slice(1).replace(/(^|\/)$/, '$1index')}.html`

/** The links of a page that lead to no heading, as they stand there. */
function lostLinks(address, textOf) {
  const links = textOf(pathOf(address)).matchAll(/ href="((?![a-z]+:|\/api\/)[^"#]*)#([^"]+)"/g)
  return [...links].flatMap(([, path, hash]) => {
    const target = textOf(pathOf(new URL(path, `http://site${address}`).pathname))
    return target.includes(` id="${decodeURIComponent(hash)}"`) ? [] : [`${path}#${hash}`]
  })
}

/**
 * What a built site lacks.
 *
 * @param root - The folder of the project.
 */
export function faultsInSite(root) {
  const docs = join(root, 'docs')
  const site = join(docs, '.vitepress', 'dist')
  const textOf = (path) =>
    existsSync(join(site, path)) ? readFileSync(join(site, path), 'utf8') : ''
  const faults = []
  const home = textOf('index.html')
  if (!home.includes('DocSearch-Button')) faults.push('index.html has no search')
  if (!home.includes('href="/api/index.html"'))
    faults.push('index.html does not lead to the API reference')

  const found = foundBySearch(site)
  if (found === undefined) faults.push('there is no index for the search')
  for (const address of addressesIn(docs)) {
    const path = pathOf(address)
    if (textOf(path) === '') faults.push(`${path} is missing`)
    if (found?.has(address) === false) faults.push(`the search does not find ${address}`)
    for (const link of lostLinks(address, textOf))
      faults.push(`${path} links to no heading: ${link}`)
  }

  const { name, exports } = JSON.parse(readFileSync(join(root, 'package.json'), 'utf8'))
  const contents = textOf('api/index.html')
  for (const [subpath, target] of Object.entries(exports)) {
    if (target.types === undefined) continue
    const path = `modules/${name}${subpath.slice(1).replace('/', '_')}.html`
    if (!contents.includes(path)) faults.push(`api/index.html does not lead to ${path}`)
    if (textOf(`api/${path}`) === '') faults.push(`api/${path} is missing`)
  }
  return faults
}

if (process.argv[1] === fileURLToPath(import.meta.url)) {
  const faults = faultsInSite(fileURLToPath(new URL('..', import.meta.url)))
  for (const fault of faults) process.stderr.write(`the site of the documentation: ${fault}\n`)
  if (faults.length > 0) process.exitCode = 1
}
