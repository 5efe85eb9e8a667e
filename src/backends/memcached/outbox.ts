import type { Socket } from 'node:net'

/** From this size on, bytes are handed to the socket as they are instead of being copied. */
const LARGE = 4096

/** Gathers commands, so that what is asked for at the same time goes out in one write. */
export class Outbox {
  #parts: (string | Uint8Array)[] = []
  #text = ''

  /** @param text - One character per byte. */
  text(text: string): void {
    this.#text += text
  }

  bytes(bytes: Uint8Array): void {
    if (bytes.length < LARGE) {
      this.#text += Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength).toString('latin1')
      return
    }
    this.#parts.push(this.#text, bytes)
    this.#text = ''
  }

  sendTo(socket: Socket): void {
    const parts = this.#parts
    const text = this.#text
    this.#parts = []
    this.#text = ''
    if (parts.length === 0) {
      if (text !== '') socket.write(text, 'latin1')
      return
    }
    if (text !== '') parts.push(text)
    socket.cork()
    for (const part of parts) {
      if (typeof part === 'string') socket.write(part, 'latin1')
      else socket.write(part)
    }
    socket.uncork()
  }
}
