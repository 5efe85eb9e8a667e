/**
 * The `fetch` the suite's client runs with. It sends exactly the header lines it is given, one
 * connection per request, and keeps the interim responses, which no public `fetch` shows.
 */
import http from 'node:http'

const TIMEOUT_MS = 15_000

/**
 * @param {string} url
 * @param {{ method?: string, headers?: [string, string | number][], body?: string }} init - What else
 *   the suite sets for browsers (cache, mode, redirect) means nothing here; no redirect is followed.
 * @returns {Promise<object>} A response with what the suite uses of one, and `interimResponses`:
 *   `[status, headers]` each.
 */
export function send(url, { method = 'GET', headers = [], body } = {}) {
  return new Promise((resolve, reject) => {
    const lines = headers.flatMap(([name, value]) => [name, String(value)])
    if (body !== undefined) lines.push('Content-Length', String(Buffer.byteLength(body)))
    lines.push('Host', new URL(url).host, 'Connection', 'close')
    const request = http.request(url, { method, headers: lines, agent: false })
    const interimResponses = []
    const timer = setTimeout(
      () => request.destroy(new Error(`no whole answer within ${TIMEOUT_MS} ms`)),
      TIMEOUT_MS,
    )
    request.on('information', ({ statusCode, headers }) =>
      interimResponses.push([statusCode, headers]),
    )
    request.on('error', (error) => {
      clearTimeout(timer)
      reject(error)
    })
    request.on('response', (response) => {
      const text = textOf(response).finally(() => clearTimeout(timer))
      // Whoever does not ask for the body is not told of its failure.
      text.catch(() => undefined)
      resolve({
        status: response.statusCode,
        statusText: response.statusMessage,
        headers: headersOf(response.rawHeaders),
        interimResponses,
        text: () => text,
      })
    })
    request.end(body)
  })
}

function headersOf(rawHeaders) {
  const headers = new Headers()
  for (let i = 0; i < rawHeaders.length; i += 2) headers.append(rawHeaders[i], rawHeaders[i + 1])
  return headers
}

async function textOf(response) {
  const chunks = []
  for await (const chunk of response) chunks.push(chunk)
  return Buffer.concat(chunks).toString()
}
