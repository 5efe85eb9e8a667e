import { connect } from 'node:net'

/** As little as can be done: commands out, answers in, in order, and the text of each value. */
export class RawSocket {
  #waiting = []
  #buffer = Buffer.alloc(0)

  static async open(location) {
    const [host, port] = location.split(':')
    const raw = new RawSocket()
    await new Promise((resolve) => {
      raw.socket = connect({ host, port: Number(port), noDelay: true }, resolve)
    })
    raw.socket.on('data', (chunk) => raw.#receive(chunk))
    return raw
  }

  /** Gives the values of so many answers. */
  ask(commands, replies) {
    return new Promise((resolve) => {
      this.#waiting.push({ resolve, replies, values: [] })
      this.socket.write(commands, 'latin1')
    })
  }

  #receive(chunk) {
    const buffer = this.#buffer.length === 0 ? chunk : Buffer.concat([this.#buffer, chunk])
    let position = 0
    for (;;) {
      const end = buffer.indexOf('\r\n', position)
      if (end === -1) break
      const line = buffer.toString('latin1', position, end)
      const first = this.#waiting[0]
      let after = end + 2
      if (line.startsWith('VA')) {
        const length = Number(line.split(' ')[1])
        after += length + 2
        if (buffer.length < after) break
        first.values.push(buffer.toString('utf8', end + 2, end + 2 + length))
      }
      position = after
      if (--first.replies > 0) continue
      this.#waiting.shift()
      first.resolve(first.values)
    }
    this.#buffer = buffer.subarray(position)
  }

  close() {
    this.socket.destroy()
  }
}
