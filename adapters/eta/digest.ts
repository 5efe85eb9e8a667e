import { createHash } from 'node:crypto'
import { statSync } from 'node:fs'
import type { TemplateSource } from './compiled.js'
import type { Engine, Template } from './templates.js'

const CALL =
  /(?<![.\w$])(?:include(?:Async)?|layout)\s*\(\s*(?:(["'`])((?:(?!\1|\$\{)[^\\\n])*)\1\s*[,)])?/g

/** One of them that is handed on, to be called by another name. */
const ALIAS = /[=(,:?[{&|]\s*(?:include(?:Async)?|layout)\s*(?=[,;)\]}\n]|$)/m

/** @param code - The JavaScript in the template. */
export function templateSource(source: string, code: string): TemplateSource {
  const names = new Set<string>()
  let isDynamic = ALIAS.test(code)
  for (const [, , name] of code.matchAll(CALL)) {
    if (name === undefined || name === '') isDynamic = true
    else names.add(name)
  }
  return { hash: hashOf(source), names: [...names], isDynamic }
}

function hashOf(text: string): string {
  return createHash('sha256').update(text).digest('hex')
}

/** A template that a digest was made with, and how to tell that it is another one now. */
interface Part {
  readonly isCurrent: () => boolean
}

/** The digest of a template with everything it names, and of what those name. */
export interface Digest {
  readonly text: string
  readonly isCurrent: boolean
}

/** Where the templates are named in what Eta compiles a template to, besides its own code. */
const PROLOGUE = /^[^]*?\nasync function blockAsync\(.*\n/
const EPILOGUE = /\nif \(__eta\.layout\) \{[^]*$/

/**
 * Makes the digest of a template.
 *
 * @param path - The template's own path, which the names in it are relative to.
 * @param onDynamic - Called with a template that includes by an expression, or by another name.
 */
export function digestOf(
  source: TemplateSource,
  engine: Engine,
  path: string | undefined,
  asynchronous: boolean,
  onDynamic: (name: string | undefined) => void,
): Digest {
  const seen = new Map<string, string>()
  const parts: Part[] = []

  const visit = (name: string, from: string | undefined): void => {
    const found = find(name, from, engine, asynchronous)
    const id = found?.id ?? name
    if (seen.has(id)) return
    seen.set(id, '')
    if (found === undefined) return
    const { hash, names, isDynamic } = templateSource(found.source, found.code)
    seen.set(id, hash)
    parts.push(found)
    if (isDynamic) onDynamic(name)
    for (const inner of names) visit(inner, found.path)
  }

  if (source.isDynamic) onDynamic(undefined)
  for (const name of source.names) visit(name, path)
  const texts = [...seen].map(([id, hash]) => `${id}\n${hash}`).sort()
  return {
    text: hashOf([source.hash, ...texts].join('\n')).slice(0, 24),
    get isCurrent() {
      return parts.every((part) => part.isCurrent())
    },
  }
}

interface Found extends Part {
  readonly id: string
  readonly source: string
  readonly code: string
  /** What the names in it are relative to. */
  readonly path: string | undefined
}

function find(
  name: string,
  from: string | undefined,
  engine: Engine,
  asynchronous: boolean,
): Found | undefined {
  const stores = [engine.templatesAsync, engine.templatesSync]
  const [store, other] = asynchronous ? stores : stores.reverse()
  const look = (key: string) => store?.get(key) ?? other?.get(key)
  if (name.startsWith('@')) {
    const template = look(name)
    if (template === undefined) return undefined
    const isCurrent = () => look(name) === template
    const source = codeOf(template)
    const code = source.replace(/^__eta\.res\+='.*';$/gm, '')
    return { id: name, source, code, path: from, isCurrent }
  }
  try {
    const path = engine.resolvePath?.(name, from === undefined ? undefined : { filepath: from })
    if (path === undefined || !engine.readFile) return undefined
    const source = engine.readFile(path)
    const views = engine.config.views ?? ''
    const id = path.startsWith(views) ? path.slice(views.length) : path
    const code = codeIn(source, engine.config.tags)
    return { id, source, code, path, isCurrent: freshness(path, engine, () => look(path)) }
  } catch {
    // The template that includes it will get the error.
    return undefined
  }
}

/** The content of a template's tags. */
function codeIn(source: string, [open, close]: readonly [string, string]): string {
  const pieces = source.split(open).slice(1)
  return pieces.map((piece) => piece.split(close, 1)[0]).join('\n')
}

/** How to tell that a file is not what it was, as far as the engine looks. */
function freshness(
  path: string,
  engine: Engine,
  compiled: () => Template | undefined,
): () => boolean {
  if (engine.config.cache === true) {
    const before = compiled()
    return () => before === undefined || compiled() === before
  }
  const stamp = stampOf(path)
  return () => stampOf(path) === stamp
}

function stampOf(path: string): string {
  try {
    const { mtimeMs, size } = statSync(path)
    return `${mtimeMs} ${size}`
  } catch {
    return ''
  }
}

/** What a named template's own code is, of which the engine keeps only what it compiled. */
function codeOf(template: Template): string {
  return template.toString().replace(PROLOGUE, '').replace(EPILOGUE, '')
}
