import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { bundleSources, type Bundle } from '../support/bundle.js'
import { folderOfTest } from '../support/folders.js'
import { startWorker, type Worker } from '../support/worker.js'

let bundle: Bundle

beforeAll(async () => {
  bundle = await bundleSources(['src', 'adapters/express', 'adapters/node'])
}, 120_000)
afterAll(() => bundle.remove())

/** A site over a shared folder; told to go, it is asked for one page many times at once. */
const script = `
  import { once } from 'node:events'
  import http from 'node:http'
  import express from 'express'
  import { createCaches } from './src/index.js'
  import { responseCache } from './adapters/express/index.js'
  const [location, path, requests] = args
  const cache = new FileBasedCache({ location })
  const pages = responseCache(createCaches({ default: cache }), { lock: { wait: 20, lease: 30 }, waitSeconds: 30 })
  let runs = 0
  const app = express()
  app.get(path, pages.cachePage(600), (req, res) => {
    runs++
    setTimeout(() => res.send('made by ' + process.pid), 300)
  })
  const server = app.listen(0)
  await once(server, 'listening')
  const { port } = server.address()
  async function ask() {
    const headers = { Host: 'shared.test' }
    const [response] = await once(http.get({ port, path, headers, agent: false }), 'response')
    let text = ''
    for await (const part of response) text += part
    return text
  }
  const go = once(process, 'message')
  process.send('ready')
  await go
  const texts = await Promise.all(Array.from({ length: Number(requests) }, ask))
  process.send({ runs, texts })
  server.close()
  await cache.close()
`

interface Told {
  readonly runs: number
  readonly texts: readonly string[]
}

describe('a lock of pages, in processes', { timeout: 120_000 }, () => {
  it('lets one view run in four of them with ten requests each', async () => {
    const args = [folderOfTest(), '/p', '10']
    const workers = await Promise.all(
      Array.from({ length: 4 }, () => startWorker(bundle, script, { args })),
    )
    await Promise.all(workers.map((worker: Worker) => worker.message()))
    for (const { child } of workers) child.send('go')
    const told = (await Promise.all(workers.map((worker) => worker.message()))) as Told[]
    await Promise.all(workers.map(({ ended }) => ended))
    expect(told.map(({ runs }) => runs).sort()).toEqual([0, 0, 0, 1])
    const texts = told.flatMap((one) => one.texts)
    expect(texts).toHaveLength(40)
    expect(new Set(texts).size).toBe(1)
  })
})
