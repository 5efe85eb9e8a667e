import type { FragmentCache } from '../../src/fragment/render.js'
import { templateName } from './position.js'
import { TemplateRun, type EtaBuffer, type EtaSite } from './run.js'

/** What of an engine the run time looks at. */
interface Engine {
  readonly config: { readonly views?: string }
  readonly templatesSync: unknown
  readonly templatesAsync: unknown
}

/** What Eta hands to a template that it runs. */
interface RunOptions {
  readonly filepath?: string
}

/** What the templates of one plugin share at run time. */
export class Runtime {
  readonly #fragments: FragmentCache
  readonly #sites = new WeakMap<TemplateStringsArray, EtaSite>()

  constructor(fragments: FragmentCache) {
    this.#fragments = fragments
  }

  /**
   * Begins a run of a template. Called by its code.
   *
   * @param callee - Gives the compiled template; throws in strict code.
   */
  fragcache(
    engine: Engine,
    buffer: EtaBuffer,
    options: RunOptions | undefined,
    asynchronous: boolean,
    callee: () => unknown,
  ): TemplateRun {
    const name = () => nameOf(engine, options, asynchronous, callee)
    return new TemplateRun(this.#fragments, this.#sites, buffer, asynchronous, name)
  }
}

/** A template in a string has no name, and one loaded by a name is given its includer's path. */
function nameOf(
  engine: Engine,
  options: RunOptions | undefined,
  asynchronous: boolean,
  callee: () => unknown,
): string | undefined {
  const templates = asynchronous ? engine.templatesAsync : engine.templatesSync
  const loaded = (templates as { cache?: Record<string, unknown> } | undefined)?.cache
  try {
    const template = callee()
    for (const name in loaded) {
      if (name.startsWith('@') && loaded[name] === template) return name
    }
  } catch {
    // The user's function header made the code strict.
  }
  return options?.filepath && templateName(options.filepath, engine.config)
}
