import { statSync } from 'node:fs'
import { isAbsolute, join } from 'node:path'
import type { TagPosition } from '../../../src/errors.js'
import { routeName } from '../../node/routes.js'
import type { ExpressRequest } from '../security.js'
import type { OverlaySettings } from './options.js'

/** Where more is known of a fragment, or it can be changed. */
export interface Links {
  /** Of its template, in the editor. */
  readonly inEditor?: string
  /** Of its page in the inspector. */
  readonly inInspector?: string
}

/** What a template's name may leave out. */
const EXTENSIONS = ['njk', 'hbs', 'eta', 'html', 'handlebars']

/** The settings of an application of Express, as far as links need them. */
interface Routed {
  readonly app?: { readonly get?: (setting: string) => unknown } | undefined
  readonly route?: unknown
}

/** Makes the links of one page. */
export class LinkMaker {
  readonly #folders: readonly string[]
  /** By the name of the template; `undefined`: there is no such file. */
  readonly #files = new Map<string, string | undefined>()

  /** @param req - Of the page, once it is answered. */
  constructor(
    private readonly settings: Pick<OverlaySettings, 'editor' | 'inspector' | 'views'>,
    req: ExpressRequest & Routed,
  ) {
    this.#folders = settings.views ?? foldersOf(req.app?.get?.('views'))
  }

  ofFragment({ template, line, fragment = '' }: TagPosition, alias: string): Links {
    const { editor } = this.settings
    const file = editor === false || template === undefined ? undefined : this.#fileOf(template)
    const inInspector = this.#inInspector('fragment', { alias, name: fragment })
    return {
      ...(editor !== false && file !== undefined && { inEditor: fill(editor, file, line ?? 1) }),
      ...(inInspector !== undefined && { inInspector }),
    }
  }

  ofRoute(route: string, alias: string): Links {
    const inInspector = this.#inInspector('route', { alias, route })
    return inInspector === undefined ? {} : { inInspector }
  }

  #inInspector(view: string, about: Readonly<Record<string, string>>): string | undefined {
    const { inspector } = this.settings
    if (inspector === undefined) return undefined
    return `${inspector.replace(/\/$/, '')}/#${view}?${String(new URLSearchParams(about))}`
  }

  #fileOf(template: string): string | undefined {
    if (!this.#files.has(template)) this.#files.set(template, find(template, this.#folders))
    return this.#files.get(template)
  }
}

/** Such as `GET /countries/:code`; `undefined`: there is none, or it is not known yet. */
export function routeOf(req: ExpressRequest & Routed): string | undefined {
  return req.route === undefined ? undefined : routeName(req)
}

/** The setting `views` of Express. */
function foldersOf(setting: unknown): readonly string[] {
  return [setting].flat().filter((folder): folder is string => typeof folder === 'string')
}

function find(template: string, folders: readonly string[]): string | undefined {
  const places = [
    ...(isAbsolute(template) ? [template] : []),
    ...folders.map((folder) => join(folder, template)),
  ]
  const files = places.flatMap((place) => [place, ...EXTENSIONS.map((end) => `${place}.${end}`)])
  return files.find(isFile)
}

/** What a loader of the application's own calls a template may be no path at all. */
function isFile(place: string): boolean {
  try {
    return statSync(place, { throwIfNoEntry: false })?.isFile() === true
  } catch {
    return false
  }
}

function fill(editor: string, file: string, line: number): string {
  // The letter of a drive keeps its colon.
  const path = encodeURIComponent(file.replaceAll('\\', '/'))
    .replaceAll('%2F', '/')
    .replace(/^([A-Za-z])%3A/, '$1:')
  return editor.replaceAll('{path}', path).replaceAll('{line}', String(line))
}
