import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import express from 'express'
import { afterAll, describe, expect, it } from 'vitest'
import { createCaches, LocMemCache } from 'fragcache'
import { responseCache } from 'fragcache/express'
import { neededProgram } from '../support/executables.js'
import { blocksOf } from '../support/samples.js'
import { freePort, startServer } from '../support/servers.js'

const page = 'docs/behind-a-proxy.md'
const conf = blocksOf(page).find(({ file }) => file === 'shop.conf')?.code ?? ''
const nginx = await neededProgram('nginx', ['nginx-light'])

const folder = mkdtempSync(join(tmpdir(), 'fragcache-nginx-'))
afterAll(() => rmSync(folder, { recursive: true, force: true }))

describe('the configuration of nginx', () => {
  it('sets every header that Express reads where the proxy is trusted', () => {
    for (const name of ['Host', 'X-Forwarded-Host', 'X-Forwarded-Proto', 'X-Forwarded-For'])
      expect(conf).toMatch(new RegExp(`proxy_set_header ${name} \\$\\w+;`))
  })

  it.runIf(nginx !== undefined)(
    'serves one page whatever visitors say of host and scheme',
    async () => {
      const [port, behind] = [await freePort(), await freePort()]
      const pages = responseCache(createCaches({ default: new LocMemCache() }))
      const app = express()
      app.set('trust proxy', 'loopback')
      app.get('/', pages.cachePage(60), (req, res) => {
        res.send(`${req.protocol}://${req.hostname}`)
      })
      const server = app.listen(behind, '127.0.0.1')
      const ours = conf.replace('8080', `127.0.0.1:${port}`).replace(':3000', `:${behind}`)
      const paths = ['client_body', 'proxy', 'fastcgi', 'uwsgi', 'scgi']
      writeFileSync(
        join(folder, 'nginx.conf'),
        `daemon off; pid ${folder}/pid; error_log stderr;
       events {}
       http { access_log off; ${paths.map((name) => `${name}_temp_path ${folder};`).join(' ')} ${ours} }`,
      )
      const args = ['-c', join(folder, 'nginx.conf'), '-e', 'stderr']
      const front = await startServer({ command: nginx ?? '', args, listensAt: port })
      try {
        const read = async (headers = {}) => {
          const response = await fetch(`http://127.0.0.1:${port}/`, { headers })
          return [await response.text(), response.headers.get('cache-status')?.split('; ')[1]]
        }
        const hostile = { 'X-Forwarded-Host': 'evil.example', 'X-Forwarded-Proto': 'https' }
        expect(await read(hostile)).toEqual(['http://127.0.0.1', 'fwd=uri-miss'])
        expect(await read()).toEqual(['http://127.0.0.1', 'hit'])
      } finally {
        await front.stop()
        server.closeAllConnections()
        server.close()
      }
    },
  )
})
