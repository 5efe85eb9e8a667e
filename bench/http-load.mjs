/**
 * The other end of the benchmark `express`: on each message `{ port, path, headers, requests,
 * connections }` it sends that many GETs over so many connections that stay open, one request at a
 * time each, and answers `{ wrong }`, the number of responses that were not a 200.
 */
import { connect } from 'node:net'

const END_OF_HEADERS = Buffer.from('\r\n\r\n')

process.on('message', (job) => {
  run(job).then(
    (wrong) => process.send({ wrong }),
    (error) => process.send({ error: error.message }),
  )
})
process.on('disconnect', () => process.exit())

function run({ port, path, headers, requests, connections }) {
  const lines = Object.entries({ Host: `127.0.0.1:${port}`, ...headers })
  const request = Buffer.from(
    `GET ${path} HTTP/1.1\r\n${lines.map(([name, value]) => `${name}: ${value}\r\n`).join('')}\r\n`,
    'latin1',
  )
  return new Promise((resolve, reject) => {
    let left = requests
    let open = connections
    let wrong = 0
    for (let i = 0; i < connections; i++) {
      const socket = connect({ port, host: '127.0.0.1', noDelay: true })
      let answer = new Answer()
      const next = () => {
        if (left-- > 0) socket.write(request)
        else socket.end()
      }
      socket.on('connect', next)
      socket.on('data', (chunk) => {
        if (!answer.isWholeWith(chunk)) return
        if (!answer.isOk) wrong++
        answer = new Answer()
        next()
      })
      socket.on('error', reject)
      socket.on('close', () => {
        if (--open > 0) return
        if (left > 0) reject(new Error(`port ${port} closed with ${left} requests to go`))
        else resolve(wrong)
      })
    }
  })
}

/** As much of HTTP/1.1 as the servers of the benchmark use: one with a Content-Length. */
class Answer {
  isOk = false
  #head = Buffer.alloc(0)
  #bodyLeft

  isWholeWith(chunk) {
    if (this.#bodyLeft === undefined) this.#readHead(chunk)
    else this.#bodyLeft -= chunk.length
    return this.#bodyLeft !== undefined && this.#bodyLeft <= 0
  }

  #readHead(chunk) {
    this.#head = this.#head.length === 0 ? chunk : Buffer.concat([this.#head, chunk])
    const end = this.#head.indexOf(END_OF_HEADERS)
    if (end === -1) return
    const text = this.#head.latin1Slice(0, end)
    const length = /\ncontent-length: *(\d+)/i.exec(text)
    this.isOk = text.startsWith('HTTP/1.1 200') && length !== null
    this.#bodyLeft = Number(length?.[1] ?? 0) - (this.#head.length - end - END_OF_HEADERS.length)
  }
}
