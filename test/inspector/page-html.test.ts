import { readdirSync } from 'node:fs'
import { fileURLToPath } from 'node:url'
import { describe, expect, it } from 'vitest'
import {
  documentHtml,
  pageHtml,
  pageScript,
  pageStyle,
} from '../../adapters/inspector/page/html.js'

const page = pageHtml({ nonce: 'n0nce', token: 't0ken', version: '1.2.3' })

const tags = (html: string, name: string): string[] =>
  [...html.matchAll(new RegExp(`<${name}\\b[^>]*>`, 'g'))].map(([tag]) => tag)

/** Without what its one script and its one style sheet hold. */
const markup = page.replace(pageScript(), '').replace(pageStyle(), '')

describe('the document of the inspector', () => {
  it('asks for nothing else: its script and style are in it, under the nonce', () => {
    expect(page).toContain(pageScript())
    expect(page).toContain(pageStyle())
    expect(tags(markup, 'script')).toEqual(['<script type="module" nonce="n0nce">'])
    expect(tags(markup, 'style')).toEqual(['<style nonce="n0nce">'])
    expect(markup).not.toMatch(/\ssrc=/)
    expect(tags(markup, 'link')).toEqual([expect.stringMatching(/^<link rel="icon" href="data:/)])
    expect(pageStyle()).not.toMatch(/@import|url\(/)
    expect(pageScript()).not.toMatch(/https?:\/\/(?!www\.w3\.org\/2000\/svg)/)
  })

  it('holds a script that neither ends early nor reads data as HTML', () => {
    expect(pageScript()).not.toMatch(/<\/script|<!--/i)
    expect(pageScript()).not.toMatch(
      /innerHTML|outerHTML|insertAdjacentHTML|document\.write|eval\(/,
    )
    expect(pageStyle()).not.toMatch(/<\/style/i)
  })

  it('joins every module of the page, so that none is left to import', () => {
    expect(pageScript()).not.toMatch(/^(import|export) /m)
    const folder = new URL('../../adapters/inspector/page/client/', import.meta.url)
    const modules = readdirSync(fileURLToPath(folder)).filter((file) => file.endsWith('.js'))
    expect(modules.length).toBeGreaterThan(10)
    const names = [...pageScript().matchAll(/^(?:async )?(?:function|const|let) (\w+)/gm)].map(
      ([, name]) => name,
    )
    expect(names.filter((name, index) => names.indexOf(name) !== index)).toEqual([])
    // Each module has a function that the others know it by.
    for (const name of ['el', 'percent', 'createTable', 'createChart', 'createLive', 'route']) {
      expect(names).toContain(name)
    }
  })

  it('carries the token in an attribute, and escapes what it is given', () => {
    expect(markup).toContain('<meta name="fragcache-token" content="t0ken">')
    const hostile = pageHtml({ nonce: 'n"><b>', token: '"><script>', version: '<i>' })
    expect(hostile.replace(pageScript(), '').replace(pageStyle(), '')).not.toMatch(
      /"><b>|"><script>|<i>/,
    )
    expect(documentHtml({ nonce: 'n', title: '</title><script>', body: '' })).toContain(
      '<title>&lt;/title&gt;&lt;script&gt;</title>',
    )
  })
})
