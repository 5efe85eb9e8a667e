import { readdirSync, readFileSync } from 'node:fs'
import { extname, join, relative, resolve, sep } from 'node:path'
import type { EtaConfig, TagNode } from './types.js'

/** Finds the lines of tags in a template's source, in the order of the tags. */
export class LineFinder {
  readonly #source: string
  readonly #config: EtaConfig
  #from = 0
  #line = 1
  #countedTo = 0

  constructor(source: string, config: EtaConfig) {
    this.#source = source
    this.#config = config
  }

  /** @returns `undefined`: another plugin put the tag there. */
  lineOf(node: TagNode): number | undefined {
    const [open, close] = this.#config.tags
    for (let at = this.#source.indexOf(open, this.#from); at >= 0;) {
      const end = this.#endOfCode(at + open.length, node)
      if (end !== undefined && this.#source.startsWith(close, this.#skipSpace(end, /[\s_-]/))) {
        for (; this.#countedTo < at; this.#countedTo++) {
          if (this.#source[this.#countedTo] === '\n') this.#line++
        }
        this.#from = end
        return this.#line
      }
      at = this.#source.indexOf(open, at + 1)
    }
    return undefined
  }

  /** Where the tag's code ends if it begins here. White space does not count: Eta may alter it. */
  #endOfCode(begin: number, { t, val = '' }: TagNode): number | undefined {
    const { exec, interpolate, raw } = this.#config.parse
    const prefix = { e: exec, i: interpolate, r: raw }[t] ?? t
    let at = begin
    if (/[-_]/.test(this.#source[at] ?? '')) at++
    at = this.#skipSpace(at)
    if (prefix !== '' && this.#source.startsWith(prefix, at)) at += prefix.length
    for (const character of val) {
      if (/\s/.test(character)) continue
      at = this.#skipSpace(at)
      if (!this.#source.startsWith(character, at)) return undefined
      at += character.length
    }
    return at
  }

  #skipSpace(begin: number, space = /\s/): number {
    let at = begin
    while (at < this.#source.length && space.test(this.#source[at] as string)) at++
    return at
  }
}

/** Most files looked at to find out what a template is called. */
const MAX_FILES = 10_000

/**
 * The name of the file a faulty template came from. Eta tells its plugins the source only, so it is
 * looked for among the views.
 */
export function findTemplate(source: string | undefined, config: EtaConfig): string | undefined {
  const { views, defaultExtension = '.eta' } = config
  if (source === undefined || views === undefined) return undefined
  try {
    const files = readdirSync(views, { recursive: true, encoding: 'utf8' }).slice(0, MAX_FILES)
    const found = files
      .filter((file) => extname(file) === defaultExtension)
      .find((file) => readFileSync(join(views, file), 'utf8') === source)
    return found && templateName(join(views, found), config)
  } catch {
    return undefined
  }
}

/** A template's path as an include from the views' folder spells it. */
export function templateName(path: string, { views }: Pick<EtaConfig, 'views'>): string {
  if (views === undefined) return path
  const name = relative(resolve(views), resolve(path))
  return name.startsWith('..') ? path : name.split(sep).join('/')
}
