/** The suite's origin server: its own handlers, on a free port. */
import http from 'node:http'

/**
 * @param {(path: string) => Promise<object>} load - Imports a module of the suite.
 * @param {boolean} sendsInterim - Whether to send the interim responses of a test, which the handlers
 *   of 0.4.5 do not.
 * @returns {Promise<http.Server>} Listening on 127.0.0.1.
 */
export async function startOrigin(load, sendsInterim) {
  const { configs } = await load('server/utils.mjs')
  const handlers = {
    config: (await load('server/handle-config.mjs')).default,
    state: (await load('server/handle-state.mjs')).default,
    test: (await load('server/handle-test.mjs')).default,
  }
  const server = http.createServer((request, response) => {
    const [kind, ...segments] = new URL(request.url, 'http://origin').pathname.slice(1).split('/')
    if (sendsInterim && kind === 'test') {
      sendInterim(configs.get(segments[0])?.[request.headers['req-num'] - 1], response)
    }
    const handle = handlers[kind]
    if (handle === undefined) response.writeHead(404).end()
    else handle(segments, request, response)
  })
  return listening(server)
}

function sendInterim(config, response) {
  for (const [status, headers] of config?.interim_responses ?? []) {
    if (status === 102) response.writeProcessing()
    else response.writeEarlyHints(Object.fromEntries(headers))
  }
}

export function listening(server) {
  return new Promise((resolve, reject) => {
    server.once('error', reject)
    server.listen(0, '127.0.0.1', () => resolve(server))
  })
}
