import { execFileSync } from 'node:child_process'
import {
  chmodSync,
  mkdirSync,
  mkdtempSync,
  readFileSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { parse } from 'yaml'
import { neededProgram } from '../support/executables.js'
import { blocksOf, inProject } from '../support/samples.js'
import { buildPackage, freePort, startServer, type TestServer } from '../support/servers.js'

/* What docs/docker.md tells to put into a folder, run without Docker: each container's own command. */

interface Compose {
  readonly services: Readonly<Record<string, { command?: string; environment?: NodeJS.ProcessEnv }>>
}

// In the project, so that Express and ioredis are found from it.
const folder = mkdtempSync(inProject('test/.samples-'))
const ofVarnish = mkdtempSync(join(tmpdir(), 'fragcache-varnish-'))
const at = (file: string) => join(folder, file)
const read = (file: string) => readFileSync(at(file), 'utf8')
const blocks = blocksOf('docs/docker.md')
for (const { file, code } of blocks) if (file !== undefined) writeFileSync(at(file), code)
const { services } = parse(read('compose.yaml')) as Compose

const servers: TestServer[] = []
async function start(...given: Parameters<typeof startServer>): Promise<void> {
  servers.push(await startServer(...given))
}

afterAll(async () => {
  for (const server of servers.reverse()) await server.stop()
  for (const one of [folder, ofVarnish]) rmSync(one, { recursive: true, force: true })
})

describe('compose.yaml', () => {
  it('keeps to the schema of Compose', () => {
    const dclint = inProject('node_modules/.bin/dclint')
    const args = ['--formatter', 'json', at('compose.yaml')]
    const found = JSON.parse(execFileSync(dclint, args, { encoding: 'utf8' })) as {
      messages: { rule: string; type: string; message: string }[]
    }[]
    const errors = found.flatMap(({ messages }) => messages.filter(({ type }) => type === 'error'))
    expect(found).toHaveLength(1)
    expect(errors).toEqual([])
  })

  it('names what the other files name', () => {
    const { app, redis, varnish } = services
    expect([app, redis, varnish]).not.toContain(undefined)
    expect(read('default.vcl')).toContain(`.port = "${app?.environment?.['PORT']}"`)
    expect(app?.environment?.['REDIS_URL']).toBe('redis://redis:6379')
    expect(app?.environment?.['VARNISH_URL']).toBe('http://varnish')
  })
})

describe('the commands of the containers', () => {
  let application = ''
  let front = ''
  let vcl = ''

  beforeAll(async () => {
    await buildPackage()
    mkdirSync(at('node_modules'))
    symlinkSync(inProject('.'), at('node_modules/fragcache'))

    const [port, redisPort, varnishPort] = [await freePort(), await freePort(), await freePort()]
    application = `http://127.0.0.1:${port}`
    front = `http://127.0.0.1:${varnishPort}`

    const words = services['redis']?.command?.match(/"[^"]*"|\S+/g) ?? []
    const [command = '', ...args] = words.map((word) => word.replaceAll('"', ''))
    await start({ command, args: [...args, '--port', `${redisPort}`], listensAt: redisPort })

    const [, cmd = '[]'] = /^CMD (.*)$/m.exec(read('Dockerfile')) ?? []
    const [, ...program] = JSON.parse(cmd) as string[]
    const varnishd = await neededProgram('varnishd', ['varnish'])
    const env = {
      ...process.env,
      NODE_ENV: 'production',
      PORT: `${port}`,
      REDIS_URL: `redis://127.0.0.1:${redisPort}`,
      VARNISH_URL: varnishd === undefined ? '' : front,
    }
    const files = program.map((file) => at(file))
    await start({ command: process.execPath, args: files, env, listensAt: port })

    vcl = read('default.vcl')
      .replaceAll('"app"', '"127.0.0.1"')
      .replace('.port = "3000"', `.port = "${port}"`)
    // Varnish gives up the rights of who started it.
    chmodSync(ofVarnish, 0o755)
    writeFileSync(join(ofVarnish, 'here.vcl'), vcl)
    if (varnishd === undefined) front = application
    else {
      await start({
        command: varnishd,
        args: [
          '-F',
          '-a',
          `127.0.0.1:${varnishPort}`,
          '-f',
          join(ofVarnish, 'here.vcl'),
          '-n',
          join(ofVarnish, 'varnish'),
        ],
        listensAt: varnishPort,
      })
    }
  }, 240_000)

  const page = async (host: string, headers = {}) => {
    const response = await fetch(`${host}/products/7`, { headers })
    return { text: await response.text(), headers: response.headers }
  }

  it('answer from Redis, with a header for what stands in front', async () => {
    // A page is stored while its answer is on the way.
    const status = async () => (await page(application)).headers.get('cache-status')
    await expect.poll(status).toMatch(/^fragcache; hit; ttl=/)
    const { text, headers } = await page(application)
    expect(text).toBe('Price: 9\n')
    expect(headers.get('cache-control')).toBe('public, max-age=0, s-maxage=600')
  })

  it('show the new price in front as soon as it is saved', async () => {
    await page(front)
    const before = await page(front)
    expect(before.text).toBe('Price: 9\n')
    // Two numbers: Varnish had it.
    if (front !== application) expect(before.headers.get('x-varnish')).toMatch(/^\d+ \d+$/)
    const headers = { 'Content-Type': 'text/plain' }
    const saved = await fetch(`${front}/products/7/price`, { method: 'POST', headers, body: '11' })
    const shown = `${await saved.text()}${(await page(front)).text}`
    expect(shown).toBe(blocks.find(({ language }) => language === 'text')?.code)
  })

  it('take nobody’s word for the scheme and the host', () => {
    expect(vcl).toMatch(/set req\.http\.X-Forwarded-Proto = "http";/)
    expect(vcl).toMatch(/unset req\.http\.X-Forwarded-Host;/)
  })
})
