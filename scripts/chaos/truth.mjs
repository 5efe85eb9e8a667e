/**
 * What the cached things are really like: for each a number that only grows, shared by all processes.
 *
 * The number is the length of a file. To append is atomic among processes and survives whoever did it,
 * so a number that was read is never taken back.
 */
import { appendFileSync, mkdirSync, openSync, fstatSync } from 'node:fs'
import { join } from 'node:path'

export class Truth {
  #folder
  #files = new Map()

  constructor(folder) {
    mkdirSync(folder, { recursive: true })
    this.#folder = folder
  }

  read(thing) {
    return fstatSync(this.#fileOf(thing)).size
  }

  /** @returns {number} At least one more than before. */
  raise(thing) {
    appendFileSync(this.#fileOf(thing), '+')
    return this.read(thing)
  }

  #fileOf(thing) {
    let file = this.#files.get(thing)
    if (file === undefined) {
      file = openSync(join(this.#folder, thing), 'a')
      this.#files.set(thing, file)
    }
    return file
  }
}
