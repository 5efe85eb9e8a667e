import type { Ahead } from '../../src/fragment/ahead.js'
import { HOLES, type CompiledHole } from './compiled.js'

/** What of an engine the run time looks at. */
export interface Engine {
  readonly config: {
    readonly views?: string
    readonly cache?: boolean
    readonly tags: readonly [string, string]
  }
  readonly templatesSync: Store
  readonly templatesAsync: Store
  readonly resolvePath?: ((name: string, options?: { filepath?: string }) => string) | null
  readonly readFile?: ((path: string) => string) | null
  compile(source: string, options?: { async?: boolean; filepath?: string }): Template
}

interface Store {
  get(name: string): Template | undefined
  define(name: string, template: Template): void
}

/** A compiled template. */
export type Template = (
  this: Engine,
  data: object | undefined,
  options: RunOptions,
) => string | Promise<string>

/** Not seen by what lists the options. */
export const HOLE = Symbol('fragcache.eta.hole')
export const PAGE = Symbol('fragcache.eta.page')

/** What Eta hands to a template that it runs, and hands on to what that includes. */
export interface RunOptions {
  readonly filepath?: string | undefined
  readonly async?: boolean
  /** The nocache block that is to be rendered in place of the whole template. */
  [HOLE]?: AskedHole | undefined
  /** What the application renders, with all that it includes and its layout. */
  [PAGE]?: Page | undefined
}

/** What the application renders: each nocache block in it sees these data. */
export interface Page {
  readonly data: object | undefined
  /** Whether a nocache block was rendered: its text may be in what a layout is given. */
  hasShown: boolean
  /** The texts with per-user output that layouts were given. */
  readonly layoutTexts: string[]
  /** What its tags ask asynchronous caches for; set when the first of them does. */
  ahead: Ahead | undefined
  /** The file of what the application renders; the empty text: it is none. */
  readonly root: string
}

/** A nocache block that a template is asked for. */
export interface AskedHole {
  readonly id: string
  /** Set by the template where nothing in the block waits. */
  result: { readonly text: string } | { readonly error: unknown } | undefined
}

/** A template and one of its nocache blocks. */
export interface FoundHole {
  readonly template: Template
  /** The template's file; `undefined`: it is none. */
  readonly path: string | undefined
  readonly hole: CompiledHole
}

const compiledFiles = new WeakMap<Engine, Map<string, { source: string; template: Template }>>()
const holesOf = new WeakMap<Template, ReadonlyMap<string, CompiledHole>>()

/**
 * Looks for a nocache block in a template.
 *
 * @param name - A name that begins with `@`, or a path from the folder of the views.
 * @param asynchronous - Whether a promise will do.
 */
export function findHole(
  engine: Engine,
  name: string,
  id: string,
  asynchronous: boolean,
): FoundHole | undefined {
  for (const isAsync of asynchronous ? [true, false] : [false]) {
    const found = findTemplate(engine, name, isAsync)
    const hole = found && holesIn(found.template).get(id)
    if (found !== undefined && hole !== undefined) return { ...found, hole }
  }
  return undefined
}

/** The nocache blocks of a template by their ids. */
export function holesIn(template: Template): ReadonlyMap<string, CompiledHole> {
  const known = holesOf.get(template)
  if (known !== undefined) return known
  // A compiled template has nothing but its code.
  const [, json] = new RegExp(`\\ntry\\{/\\*${HOLES}(.*?) \\*/`).exec(template.toString()) ?? []
  const holes = new Map<string, CompiledHole>()
  for (const hole of JSON.parse(json ?? '[]') as CompiledHole[]) holes.set(hole.id, hole)
  holesOf.set(template, holes)
  return holes
}

function findTemplate(
  engine: Engine,
  name: string,
  isAsync: boolean,
): Pick<FoundHole, 'template' | 'path'> | undefined {
  const store = isAsync ? engine.templatesAsync : engine.templatesSync
  if (name.startsWith('@')) {
    const template = store.get(name)
    return template && { template, path: undefined }
  }
  if (name === '' || !engine.resolvePath || !engine.readFile) return undefined
  try {
    const path = engine.resolvePath(name)
    const kept = engine.config.cache === true ? store.get(path) : undefined
    if (kept !== undefined) return { template: kept, path }
    const source = engine.readFile(path)
    const template = compileFile(engine, path, source, isAsync)
    if (engine.config.cache === true) store.define(path, template)
    return { template, path }
  } catch {
    // There is no such template, or it cannot be compiled: rendering what it is in will tell.
    return undefined
  }
}

/** Compiles a file, unless it did so before from the same source. */
function compileFile(engine: Engine, path: string, source: string, isAsync: boolean): Template {
  const files =
    compiledFiles.get(engine) ?? new Map<string, { source: string; template: Template }>()
  compiledFiles.set(engine, files)
  const key = `${isAsync} ${path}`
  const known = files.get(key)
  if (known?.source === source) return known.template
  const template = engine.compile(source, { async: isAsync, filepath: path })
  files.set(key, { source, template })
  return template
}
