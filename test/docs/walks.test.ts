import { once } from 'node:events'
import { mkdirSync, writeFileSync } from 'node:fs'
import { Server } from 'node:net'
import type { AddressInfo } from 'node:net'
import { dirname, join } from 'node:path'
import { pathToFileURL } from 'node:url'
import { afterAll, beforeAll, describe, expect, it, vi } from 'vitest'
import { SampleRunner } from '../support/run-sample.js'
import { blocksOf, type Sample } from '../support/samples.js'

/** The page's blocks up to each output that it shows, which the next of them goes on from. */
function steps(blocks: readonly Sample[]): { line: number; doing: Sample[]; expected: string }[] {
  const found = []
  let doing: Sample[] = []
  for (const block of blocks) {
    if (block.language !== 'text') doing.push(block)
    else {
      found.push({ line: block.line, doing, expected: block.code })
      doing = []
    }
  }
  return found
}

describe.each(['docs/getting-started.md', 'docs/tutorial.md'])(
  'a reader who follows %s',
  (page) => {
    const runner = new SampleRunner()
    const home = process.cwd()
    const servers: Server[] = []
    let folder = ''
    let starts = 0

    beforeAll(() => {
      const { listen } = Server.prototype
      vi.spyOn(Server.prototype, 'listen').mockImplementation(function (this: Server) {
        servers.push(this)
        return Reflect.apply(listen, this, [0, '127.0.0.1']) as Server
      })
    })
    afterAll(() => {
      vi.restoreAllMocks()
      process.chdir(home)
      for (const server of servers) server.close()
      runner.remove()
    })

    /** What is running when a file is started is replaced: in a folder of its own, by modules of its own. */
    async function start(name: string, files: ReadonlyMap<string, string>): Promise<void> {
      folder = join(runner.folder, String(++starts))
      for (const [file, code] of files) {
        mkdirSync(dirname(join(folder, file)), { recursive: true })
        writeFileSync(join(folder, file), code)
      }
      process.chdir(folder)
      vi.resetModules()
      await import(/* @vite-ignore */ pathToFileURL(join(folder, name)).href)
      const server = servers.at(-1)
      if (server?.listening === false) await once(server, 'listening')
    }

    /** As much of curl as the page uses. */
    async function curl(words: readonly string[]): Promise<string> {
      const after = (option: string) => words[words.indexOf(option) + 1] ?? ''
      const { port } = servers.at(-1)?.address() as AddressInfo
      const url = (words.at(-1) ?? '').replace('localhost:3000', `http://127.0.0.1:${port}`)
      const [name = '', value = ''] = words.includes('-H') ? after('-H').split(': ') : []
      const response = await fetch(url, {
        ...(words.includes('-d') ? { method: 'POST', body: after('-d') } : {}),
        headers: name === '' ? {} : { [name]: value },
      })
      const body = await response.text()
      const written = /%header\{(.*)\}/.exec(words.includes('-w') ? after('-w') : '')?.[1]
      return written === undefined ? body : `${response.headers.get(written)}\n`
    }

    const files = new Map<string, string>()

    it.each(steps(blocksOf(page)))(
      'sees what stands at line $line',
      async ({ doing, expected }) => {
        let shown = ''
        for (const { language, file, code } of doing) {
          if (file !== undefined) files.set(file, code)
          else if (language === 'sh') {
            for (const line of code.trim().split('\n')) {
              const words = [...line.matchAll(/'([^']*)'|(\S+)/g)].map(([, quoted, bare]) => quoted ?? bare ?? '') // prettier-ignore
              if (words[0] === 'node') await start(words[1] ?? '', files)
              else if (words[0] === 'curl') shown += await curl(words)
              else expect(line).toMatch(/^npm (?:init -y|install [\w ]+)$/)
            }
          }
        }
        const lines = (text: string) => text.trimEnd().split('\n')
        expect(lines(shown).map((line) => line.replace(/ttl=60$/, 'ttl=59'))).toEqual(
          lines(expected),
        )
      },
    )
  },
)
