/** A site on Express in front of the caches, and a client of it. */
import { once } from 'node:events'
import http from 'node:http'
import express from 'express'
import { responseCache } from './product.mjs'

const HOST = 'chaos.test'

/** The URL of a path, which is the same whichever process serves it. */
export function urlOf(path) {
  return `http://${HOST}${path}`
}

export async function startSite(caches) {
  const app = express()
  const pagesByPrefix = new Map()
  const pagesUnder = (lock) => {
    const keyPrefix = prefixOf(lock)
    const pages = pagesByPrefix.get(keyPrefix) ?? responseCache(caches, { keyPrefix, lock })
    pagesByPrefix.set(keyPrefix, pages)
    return pages
  }
  const server = http.createServer(app).listen(0, '127.0.0.1')
  await once(server, 'listening')
  const { port } = server.address()
  const agent = new http.Agent({ keepAlive: true })

  return {
    /**
     * Adds a page.
     *
     * @param {string} path
     * @param {() => Promise<object>} make
     * @param {{ tags?: unknown, lock?: boolean | { wait: number, lease: number } }} [options]
     * @returns {{ get(): Promise<any>, invalidate(): Promise<void> }}
     */
    addPage(path, make, { tags, lock = false } = {}) {
      const pages = pagesUnder(lock)
      const options = tags === undefined ? {} : { tags }
      app.get(path, pages.cachePage(300, options), (_, res, next) => {
        make().then((made) => res.send(JSON.stringify(made)), next)
      })
      return {
        get: async () => JSON.parse(await request({ port, agent, path })),
        invalidate: () => pages.invalidate(urlOf(path)),
      }
    },

    close: () => {
      agent.destroy()
      server.close()
      server.closeAllConnections()
    },
  }
}

function request({ port, agent, path }) {
  return new Promise((resolve, reject) => {
    const options = { host: '127.0.0.1', port, agent, path, headers: { Host: HOST } }
    const sent = http.get(options, (response) => {
      let text = ''
      response.setEncoding('utf8')
      response.on('data', (part) => (text += part))
      response.on('error', reject)
      response.on('end', () => {
        if (response.statusCode === 200) resolve(text)
        else reject(new Error(`${path} was answered with ${response.statusCode}`))
      })
    })
    sent.on('error', reject)
  })
}

/** The same in each process. */
function prefixOf(lock) {
  if (typeof lock === 'boolean') return lock ? 'locked' : 'plain'
  return `locked-${lock.wait}-${lock.lease}`
}
