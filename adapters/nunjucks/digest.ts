import { createHash } from 'node:crypto'
import type { BlockFunction, CompiledBody, Engine, Template } from './engine.js'
import type { TemplateNames } from './templates.js'

/**
 * In compiled code: a text, or the look-up of a template by a text or, without a group, by an
 * expression.
 */
const LOADED =
  /"(?:[^"\\]|\\.)*"|\benv\.getTemplate(\()(?:("(?:[^"\\]|\\.)*"), (?:true|false), (?:"(?:[^"\\]|\\.)*"|undefined), (?:true|false), )?/g

/** What a template is made of. */
interface Source {
  readonly text: string
  /** What it includes, extends and imports by fixed names. */
  readonly names: readonly string[]
  /** Whether it does so by expressions too. */
  readonly isOpen: boolean
}

interface Known {
  readonly epoch: number
  readonly digest: string
}

/** What a tag knows of its template. */
interface TagSource {
  readonly site: { readonly template?: string | undefined }
  readonly source: string | undefined
}

/**
 * Digests of templates' sources with all that they include, extend and import: made once per compiled
 * template, and again when the environment takes a template up again.
 */
export class Digests {
  readonly #engine: Engine
  readonly #names: TemplateNames
  readonly #known = new WeakMap<BlockFunction, Known>()
  readonly #sources = new WeakMap<Template, Source>()
  readonly #warned = new Set<string>()
  #epoch = 0

  constructor(engine: Engine, names: TemplateNames) {
    this.#engine = engine
    this.#names = names
    const { invalidateCache } = engine
    engine.on('update', () => this.#epoch++)
    engine.invalidateCache = () => {
      invalidateCache.call(engine)
      this.#epoch++
    }
  }

  /** @param root - The main function of the tag's template. */
  of(root: BlockFunction, body: CompiledBody, tag: TagSource): string {
    const known = this.#known.get(root)
    if (known?.epoch === this.#epoch) return known.digest
    const template = this.#names.templateOf(root)
    const own =
      template === undefined
        ? // A template without a name is compiled for each render: its source is known to the tag.
          readCode(tag.source ?? '', [root, body])
        : this.#sourceOf(template)
    // The engine takes relative names from there.
    const digest = this.#digest(own, template?.path ?? tag.site.template ?? '')
    this.#known.set(root, { epoch: this.#epoch, digest })
    return digest
  }

  #digest(own: Source, path: string): string {
    const sum = createHash('sha256')
    const seen = new Set<Template>()
    const add = ({ text, names, isOpen }: Source, from: string): void => {
      sum.update(`${text.length}:${text}`)
      if (isOpen) this.#warn(from)
      for (const name of names) {
        const template = this.#load(name, from)
        sum.update(`${name.length}:${name}${template === undefined ? '-' : '+'}`)
        if (template === undefined || seen.has(template)) continue
        seen.add(template)
        add(this.#sourceOf(template), template.path ?? name)
      }
    }
    add(own, path)
    return sum.digest('hex').slice(0, 16)
  }

  #load(name: string, from: string): Template | undefined {
    // What is there only later would be missing at first and be found from then on.
    if (this.#engine.loaders.some((loader) => loader.async === true)) {
      this.#warn(from)
      return undefined
    }
    let loaded: Template | undefined
    try {
      this.#engine.getTemplate(name, false, from, true, (error: unknown, template?: Template) => {
        if (!error) loaded = template
      })
    } catch {
      return undefined
    }
    return loaded
  }

  #sourceOf(template: Template): Source {
    let source = this.#sources.get(template)
    if (source === undefined) {
      source = readSource(template, this.#names)
      this.#sources.set(template, source)
    }
    return source
  }

  #warn(template: string): void {
    if (this.#warned.has(template)) return
    this.#warned.add(template)
    process.emitWarning(
      `template ${JSON.stringify(template)}: it includes, extends or imports what is not known beforehand (a name by an expression, or an asynchronous loader), which the digest in the keys of its fragments does not cover`,
      { type: 'FragmentDigestWarning', code: 'FRAGCACHE_OPEN_DIGEST' },
    )
  }
}

function readSource(template: Template, templates: TemplateNames): Source {
  try {
    template.compile()
  } catch {
    // The caller that renders it gets the error.
    return { text: template.tmplStr ?? '', names: [], isOpen: false }
  }
  const { tmplProps, tmplStr, blocks } = template
  const functions =
    tmplProps === undefined
      ? [templates.rootOf(template), ...Object.values(blocks)]
      : Object.values(tmplProps)
  const code = functions.map(String)
  return readCode(tmplStr ?? code.join('\n'), code)
}

/** @param code - Compiled functions. */
function readCode(text: string, code: readonly unknown[]): Source {
  const names = new Set<string>()
  let isOpen = false
  for (const [, isLookUp, literal] of code.map(String).join('\n').matchAll(LOADED)) {
    if (isLookUp === undefined) continue
    const name = literal === undefined ? undefined : parseLiteral(literal)
    if (name === undefined) isOpen = true
    else names.add(name)
  }
  return { text, names: [...names], isOpen }
}

function parseLiteral(literal: string): string | undefined {
  try {
    return JSON.parse(literal) as string
  } catch {
    return undefined
  }
}
