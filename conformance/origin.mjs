/** The suite's origin server: its own handlers, on a free port. */
import http from 'node:http'

/**
 * @param {(path: string) => Promise<object>} load - Imports a module of the suite.
 * @returns {Promise<http.Server>} Listening on 127.0.0.1.
 */
export async function startOrigin(load) {
  const handlers = {
    config: (await load('server/handle-config.mjs')).default,
    state: (await load('server/handle-state.mjs')).default,
    test: (await load('server/handle-test.mjs')).default,
  }
  const server = http.createServer((request, response) => {
    const [kind, ...segments] = new URL(request.url, 'http://origin').pathname.slice(1).split('/')
    const handle = handlers[kind]
    if (handle === undefined) response.writeHead(404).end()
    else handle(segments, request, response)
  })
  return listening(server)
}

export function listening(server) {
  return new Promise((resolve, reject) => {
    server.once('error', reject)
    server.listen(0, '127.0.0.1', () => resolve(server))
  })
}
