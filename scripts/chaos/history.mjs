/** Histories: one line of JSON per event, in a file per process. */
import { appendFileSync, openSync, readdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'

const FLUSH_MS = 100

/** Milliseconds of a clock that is the same for all processes of the machine, whatever time they have. */
export function nowMs() {
  return Number(process.hrtime.bigint()) / 1e6
}

export class Recorder {
  #file
  #worker
  #lines = []

  constructor(folder, worker) {
    this.#file = openSync(join(folder, `${worker}-${process.pid}.jsonl`), 'a')
    this.#worker = worker
    setInterval(() => this.flush(), FLUSH_MS).unref()
  }

  /** What is lost when the process is killed would only have been more to judge. */
  add(event) {
    this.#lines.push(JSON.stringify({ worker: this.#worker, ...event }))
  }

  flush() {
    if (this.#lines.length === 0) return
    appendFileSync(this.#file, `${this.#lines.splice(0).join('\n')}\n`)
  }
}

/** All events in a folder; the last line of who was killed may not be whole. */
export function readHistory(folder) {
  return readdirSync(folder).flatMap((name) => {
    const lines = readFileSync(join(folder, name), 'utf8').split('\n')
    lines.pop()
    return lines.map((line) => JSON.parse(line))
  })
}
