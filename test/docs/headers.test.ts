import { readFileSync } from 'node:fs'
import { IncomingMessage, ServerResponse } from 'node:http'
import { Socket } from 'node:net'
import { runInNewContext } from 'node:vm'
import * as adapter from 'fragcache/express'
import { describe, expect, it } from 'vitest'
import { inProject } from '../support/samples.js'

const page = readFileSync(inProject('docs/headers.md'), 'utf8')

describe('the tables of docs/headers.md', () => {
  const rows = [...page.matchAll(/^\| `(\{.*?\})` +\| (?:`(.*?)`)? +\| `(.*?)`/gm)]

  it('have nine rows of directives', () => {
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

  it('name only what is exported', () => {
    const cells = [...page.matchAll(/^\| (`\w+\(.*?`(?:, `\w+\(.*?`)*) +\|/gm)]
    const names = cells.flatMap(([, cell = '']) =>
      [...cell.matchAll(/`(\w+)\(/g)].map(([, name]) => name as string),
    )
    expect(names).toHaveLength(14)
    for (const name of names) expect(adapter).toHaveProperty(name)
  })
})
