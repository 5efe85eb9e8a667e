// The site of the documentation: `npm run docs` serves it, `npm run docs:build` builds it into docs/.vitepress/dist.
import { readFileSync } from 'node:fs'
import { posix } from 'node:path'
import { defineConfig } from 'vitepress'

const read = (path) => readFileSync(new URL(path, import.meta.url), 'utf8')
const manifest = JSON.parse(read('../../package.json'))
const repository = manifest.homepage.split('#')[0]

/** The pages in the order of docs/README.md: each bold line there begins a group. */
function sidebarOf(list) {
  const groups = []
  for (const line of list.split('\n')) {
    const heading = /^\*\*(.+?)\*\*/.exec(line)
    if (heading) groups.push({ text: heading[1], collapsed: false, items: [] })
    for (const [, text, file] of line.matchAll(/\[([^[\]]+)\]\(([^()]+)\)/g)) {
      groups.at(-1).items.push({ text: text[0].toUpperCase() + text.slice(1), link: linkTo(file) })
    }
  }
  return groups
}

/** What lies outside of docs/ is no page of the site, and shown where the sources are. */
function linkTo(href, from = 'README.md') {
  const [path, hash = ''] = href.split(/(?=#)/)
  const target = posix.join(posix.dirname(from), path)
  if (!target.startsWith('..')) return href.startsWith('#') ? href : `/${siteOf(target)}${hash}`
  return `${repository}/blob/main/${target.slice('../'.length)}${hash}`
}

const siteOf = (target) => target.replace(/(^|\/)README\.md$/, '$1').replace(/\.md$/, '')

/** The anchor of a heading as GitHub makes it: links in the pages lead to the right place both there and here. */
const anchorOf = (heading) =>
  heading
    .trim()
    .toLowerCase()
    .replaceAll(/[^\p{L}\p{N}\s_-]/gu, '')
    .replaceAll(' ', '-')

/** Changes the links that are right on GitHub alone: those that lead out of docs/, or to a folder's README. */
function leadOutside(markdown) {
  markdown.core.ruler.push('lead-outside', ({ tokens, env }) => {
    const from = env.relativePath.replace(/index\.md$/, 'README.md')
    const links = tokens
      .flatMap(({ children }) => children ?? [])
      .filter(({ type }) => type === 'link_open')
    for (const link of links) {
      const href = link.attrGet('href') ?? ''
      if (/^\.\.\/|(?:^|\/)README\.md(?:#|$)/.test(href)) link.attrSet('href', linkTo(href, from))
    }
  })
}

/** Pages show `{{ name }}` as it stands in templates, which Vue would take for its own. */
function keepBraces(markdown) {
  const { code_inline: code, text } = markdown.renderer.rules
  markdown.renderer.rules.code_inline = (tokens, at, ...rest) => {
    tokens[at].attrSet('v-pre', '')
    return code(tokens, at, ...rest)
  }
  markdown.renderer.rules.text = (...given) => text(...given).replaceAll('{{', '&#123;&#123;')
}

export default defineConfig({
  lang: 'en',
  title: 'fragcache',
  description: manifest.description,
  cleanUrls: true,
  lastUpdated: false,
  rewrites: { 'README.md': 'index.md', 'backends/README.md': 'backends/index.md' },
  markdown: {
    anchor: { slugify: anchorOf },
    languageAlias: { vcl: 'c' },
    config: (markdown) => {
      leadOutside(markdown)
      keepBraces(markdown)
    },
  },
  themeConfig: {
    nav: [
      { text: 'Getting started', link: '/getting-started' },
      { text: 'API', link: '/api/index.html', target: '_self' },
      { text: manifest.version, link: `${repository}/blob/main/CHANGELOG.md` },
    ],
    sidebar: sidebarOf(read('../README.md')),
    outline: [2, 3],
    search: { provider: 'local' },
    socialLinks: [{ icon: 'github', link: repository }],
    editLink: { pattern: `${repository}/edit/main/docs/:path`, text: 'Edit this page' },
    footer: { message: `Released under the ${manifest.license} licence.` },
  },
})
