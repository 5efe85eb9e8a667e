import type { Express } from 'express'
import type { HoleRenderer } from '../../src/fragment/hole-parts.js'
import { renderHole, type HoleEngine } from '../../src/fragment/holes.js'

/** The variables of a template. */
export type Variables = Readonly<Record<string, unknown>>

/** What a template puts where a hole is. */
export type PutHole = (name: string) => string

export interface TinyTemplate {
  readonly body: (it: Variables, hole: PutHole) => string | Promise<string>
  readonly holes?: Readonly<Record<string, (it: Variables) => string | Promise<string>>>
}

/** A template engine in a few lines, whose templates are functions, with `nocache` blocks. */
export class TinyEngine implements HoleEngine {
  readonly #templates: Map<string, TinyTemplate>

  constructor(
    templates: Readonly<Record<string, TinyTemplate>>,
    readonly name = 'tiny',
  ) {
    this.#templates = new Map(Object.entries(templates))
  }

  /** A later deployment of a template. */
  replace(name: string, template: TinyTemplate): void {
    this.#templates.set(name, template)
  }

  async render(name: string, it: Variables): Promise<string> {
    const template = this.#templates.get(name)
    if (template === undefined) throw new Error(`there is no template ${name}`)
    const put: PutHole = (hole) => {
      const ref = { e: this.name, t: name, h: hole }
      return renderHole(ref, { template: name, line: 1 }, () => {
        const text = template.holes?.[hole]?.(it)
        return typeof text === 'string' ? text : `[${hole} comes later]`
      })
    }
    return template.body(it, put)
  }

  holes(context: unknown): HoleRenderer {
    const find = (template: string, hole: string) => this.#templates.get(template)?.holes?.[hole]
    return {
      has: ({ t, h }) => find(t, h) !== undefined,
      render: ({ t, h }) => find(t, h)?.(context as Variables),
    }
  }

  /** Makes an application render by it: there are no files. */
  install(app: Express): void {
    const render = (name: string, it: Variables) => this.render(name, it)
    class View {
      readonly path = 'here'
      constructor(readonly name: string) {}
      render(it: Variables, done: (error: unknown, text?: string) => void): void {
        render(this.name, it).then(
          (text) => done(null, text),
          (error: unknown) => done(error),
        )
      }
    }
    app.set('view', View)
  }
}
