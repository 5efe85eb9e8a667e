import { createServer, type RequestListener, type Server } from 'node:http'
import type { AddressInfo } from 'node:net'
import { createCaches, LocMemCache } from 'fragcache'
import { inspector, overlay } from 'fragcache/inspector'
import { afterEach, beforeEach, expect, it, vi } from 'vitest'

vi.mock('../../adapters/inspector/assets.js', () => ({
  readAsset: () => {
    throw new Error('there is no such file')
  },
}))

const rejected = vi.fn()
const warnings: string[] = []
let server: Server | undefined

beforeEach(() => {
  process.on('unhandledRejection', rejected)
  process.on('uncaughtException', rejected)
  vi.spyOn(process, 'emitWarning').mockImplementation((warning) => {
    warnings.push(String(warning))
  })
})
afterEach(async () => {
  process.off('unhandledRejection', rejected)
  process.off('uncaughtException', rejected)
  vi.restoreAllMocks()
  warnings.length = 0
  await new Promise((resolve) => server?.close(resolve))
})

async function ask(listener: RequestListener) {
  server = createServer(listener).listen(0, '127.0.0.1')
  await new Promise((resolve) => server?.once('listening', resolve))
  const { port } = server.address() as AddressInfo
  const headers = { accept: 'text/html', connection: 'close' }
  const signal = AbortSignal.timeout(5000)
  const response = await fetch(`http://127.0.0.1:${port}/`, { headers, signal })
  return { status: response.status, text: await response.text() }
}

it('an overlay that has lost its script says so, and the page is served as it is', async () => {
  const middleware = overlay()
  const page = '<!doctype html><p>page</p>'
  const answer = ask((req, res) => {
    middleware(req, res, () => {
      res.setHeader('Content-Type', 'text/html')
      res.end(page)
    })
  })
  expect(await answer).toEqual({ status: 200, text: page })
  expect(warnings).toEqual(['overlay failed: Error: there is no such file; reported once'])
  expect(rejected).not.toHaveBeenCalled()
})

it('an inspector that has lost its script says so, and the process goes on', async () => {
  const page = inspector(createCaches({ default: new LocMemCache() }))
  expect((await ask(page)).status).toBe(500)
  page.close()
  expect(warnings).toEqual(['inspector failed: Error: there is no such file; reported once'])
  expect(rejected).not.toHaveBeenCalled()
})
