import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { IncomingMessage, ServerResponse } from 'node:http'
import { Socket } from 'node:net'
import { join } from 'node:path'
import { pathToFileURL } from 'node:url'
import { runInNewContext } from 'node:vm'
import * as adapter from 'fragcache/express'
import { afterAll, beforeAll, describe, expect, it, vi } from 'vitest'
import { inProject, samplesOf } from '../support/samples.js'

let folder: string

beforeAll(() => {
  // In the project, so that `fragcache` means its sources.
  folder = mkdtempSync(inProject('test/.samples-'))
})

afterAll(() => {
  rmSync(folder, { recursive: true, force: true })
})

const page = readFileSync(inProject('docs/headers.md'), 'utf8')

describe('docs/headers.md', () => {
  const samples = samplesOf('docs/headers.md')

  it('has two samples', () => {
    expect(samples).toHaveLength(2)
  })

  it.each(samples)('$page:$line prints what it says', async ({ code, line, prints }) => {
    const printed: string[] = []
    const log = vi.spyOn(console, 'log').mockImplementation((...texts: unknown[]) => {
      printed.push(texts.map(String).join(' '))
    })
    const file = join(folder, `headers-${line}.mjs`)
    writeFileSync(file, code)
    try {
      await import(/* @vite-ignore */ pathToFileURL(file).href)
    } finally {
      log.mockRestore()
    }
    expect(printed).toEqual(prints)
  })

  const rows = [...page.matchAll(/^\| `(\{.*?\})` +\| (?:`(.*?)`)? +\| `(.*?)`/gm)]

  it('has nine rows of directives', () => {
    expect(rows).toHaveLength(9)
  })

  it.each(rows.map(([, given, has, sent]) => ({ given, has, sent })))(
    '$given on "$has" gives $sent',
    ({ given, has, sent }) => {
      const res = new ServerResponse(new IncomingMessage(new Socket()))
      if (has !== undefined) res.setHeader('Cache-Control', has)
      const directives = runInNewContext(`(${given})`) as adapter.CacheControlDirectives
      adapter.patchCacheControl(res, directives)
      expect(res.getHeader('Cache-Control')).toBe(sent)
    },
  )

  it('names only what is exported', () => {
    const cells = [...page.matchAll(/^\| (`\w+\(.*?`(?:, `\w+\(.*?`)*) +\|/gm)]
    const names = cells.flatMap(([, cell = '']) =>
      [...cell.matchAll(/`(\w+)\(/g)].map(([, name]) => name as string),
    )
    expect(names).toHaveLength(14)
    for (const name of names) expect(adapter).toHaveProperty(name)
  })
})
