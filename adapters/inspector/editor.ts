import { statSync, type Stats } from 'node:fs'
import { isAbsolute, join } from 'node:path'
import { MisuseError, show } from '../../src/errors.js'
import type { ExpressRequest } from './security.js'

/** The options `editor` and `views`, checked. */
export interface EditorSettings {
  /** The URL that opens a file, with `{path}` and `{line}`; `false`: no links. */
  readonly editor: string | false
  /** Left out: those of Express. */
  readonly views: readonly string[] | undefined
}

const ADDRESS = /^[a-z][a-z\d+.-]*:.*\{path\}/i

/** Schemes that browsers handle themselves: no editor hears of them, and some run in the page. */
const OF_BROWSERS =
  /^(?:about|blob|chrome|data|file|filesystem|ftp|javascript|vbscript|view-source|wss?):/i

/** What a template's name may leave out. */
const EXTENSIONS = ['njk', 'hbs', 'eta', 'html', 'handlebars']

/**
 * @param who - Whose options they are, for the error.
 * @throws TypeError: an option is of the wrong kind.
 */
export function checkEditor(
  who: string,
  { editor, views }: { readonly editor: unknown; readonly views: unknown },
): EditorSettings {
  if (typeof editor === 'string' && OF_BROWSERS.test(editor)) {
    throw new MisuseError(
      `${who}: editor: ${show(editor)} has a scheme that browsers handle themselves, so that no editor opens; give an address such as "vscode://file/{path}:{line}", or false`,
    )
  }
  if (editor !== false && (typeof editor !== 'string' || !ADDRESS.test(editor))) {
    throw new MisuseError(
      `${who}: editor: ${show(editor)} is not an address with {path} in it; give one such as "vscode://file/{path}:{line}", or false`,
    )
  }
  const folders: readonly unknown[] | undefined = views === undefined ? undefined : [views].flat()
  if (folders?.some((folder) => typeof folder !== 'string')) {
    throw new MisuseError(
      `${who}: views: ${show(views)} is not a folder; give the path of one, or a list of paths`,
    )
  }
  if (folders !== undefined && editor === false) {
    throw new MisuseError(
      `${who}: views: ${show(views)} is of no use without editor; give editor: "vscode://file/{path}:{line}" or that of your editor, or leave views out`,
    )
  }
  const missing = folders?.find((folder) => !isFolder(folder as string))
  if (missing !== undefined) {
    throw new MisuseError(
      `${who}: views: ${show(missing)} is not a folder that exists; give the path of the folder of your templates`,
    )
  }
  return { editor, views: folders as readonly string[] | undefined }
}

/** Makes the links of one page to templates in the editor. */
export class EditorLinks {
  readonly #folders: readonly string[]
  /** By the name of the template; `undefined`: there is no such file. */
  readonly #files = new Map<string, string | undefined>()

  /** @param req - Of the page. */
  constructor(
    private readonly settings: EditorSettings,
    req: Pick<ExpressRequest, 'app'>,
  ) {
    this.#folders = settings.views ?? foldersOf(req.app?.get?.('views'))
  }

  /** @returns `undefined`: there are no links, or no such file. */
  to(template: string, line = 1): string | undefined {
    const { editor } = this.settings
    const file = editor === false ? undefined : this.#fileOf(template)
    return editor === false || file === undefined ? undefined : fill(editor, file, line)
  }

  #fileOf(template: string): string | undefined {
    if (!this.#files.has(template)) this.#files.set(template, find(template, this.#folders))
    return this.#files.get(template)
  }
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

const isFile = (place: string): boolean => statsOf(place)?.isFile() === true
const isFolder = (place: string): boolean => statsOf(place)?.isDirectory() === true

/** What a loader of the application's own calls a template may be no path at all. */
function statsOf(place: string): Stats | undefined {
  try {
    return statSync(place, { throwIfNoEntry: false })
  } catch {
    return undefined
  }
}

function fill(editor: string, file: string, line: number): string {
  // The letter of a drive keeps its colon.
  const path = encodeURIComponent(file.replaceAll('\\', '/'))
    .replaceAll('%2F', '/')
    .replace(/^([A-Za-z])%3A/, '$1:')
  return editor.replaceAll('{path}', path).replaceAll('{line}', String(line))
}
