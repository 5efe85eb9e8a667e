import { IncomingMessage } from 'node:http'
import { didYouMean } from '../../../src/did-you-mean.js'
import { isCaches } from '../../../src/caches.js'
import { MisuseError, show } from '../../../src/errors.js'
import { checkEditor, type EditorSettings } from '../editor.js'
import { checkPages, type Allowing, type Authorize, type PagesOfUrls } from '../options.js'

/** The position of the overlay's bar. */
export type OverlayPosition = 'bottom-right' | 'bottom-left' | 'top-right' | 'top-left'

/** Options of `overlay`. */
export interface OverlayOptions {
  /** The corner of the window that holds the bar. Default: `bottom-right`. */
  readonly position?: OverlayPosition | undefined
  /**
   * Decides who sees the overlay and may use it to invalidate. It returns `true`, or a promise of `true`, to
   * allow the request. An error is a refusal. Everybody else gets the page unchanged.
   *
   * Without this option only requests from this machine are allowed, made to `localhost` and over no proxy.
   */
  readonly authorize?: Allowing | undefined
  /** The path that the overlay's buttons post to. Default: `/__fragcache/overlay`. */
  readonly path?: string | undefined
  /**
   * The URL that opens a file in your editor, containing `{path}` and `{line}`; `false`: no links to
   * templates. Default: `vscode://file/{path}:{line}`.
   */
  readonly editor?: string | false | undefined
  /**
   * The folders of your templates, to find files by name. Default: the setting `views` of Express.
   */
  readonly views?: string | readonly string[] | undefined
  /** The path of the inspector for the same caches, such as `/__cache`. Default: no links to it. */
  readonly inspector?: string | undefined
  /**
   * The result of `responseCache`, to invalidate the URL of a page. Default: the overlay cannot do that.
   */
  readonly pages?: PagesOfUrls | undefined
}

const POSITIONS: readonly string[] = ['bottom-right', 'bottom-left', 'top-right', 'top-left']
const KNOWN = ['position', 'authorize', 'path', 'editor', 'views', 'inspector', 'pages']

// What begins with two slashes is another host.
const PATH = /^\/(?!\/)[\w.~!$&'()*+,;=:@%/-]*$/

/** The options with their defaults. */
export interface OverlaySettings extends EditorSettings {
  readonly position: OverlayPosition
  readonly authorize: Authorize | undefined
  readonly path: string
  readonly inspector: string | undefined
  readonly pages: PagesOfUrls | undefined
}

/** @throws TypeError: an option is unknown or of the wrong kind. */
export function resolveOverlayOptions(options: unknown): OverlaySettings {
  if (typeof options !== 'object' || options === null) {
    throw new MisuseError(`overlay: ${show(options)} are not options; give an object, or nothing`)
  }
  if (options instanceof IncomingMessage) {
    throw new MisuseError('overlay: it makes a middleware; call it: app.use(overlay())')
  }
  if (isCaches(options)) {
    throw new MisuseError(
      'overlay: it takes no caches, since it sees those of every fragment; give an object of options, or nothing',
    )
  }
  for (const name of Object.keys(options)) {
    if (KNOWN.includes(name)) continue
    throw new MisuseError(
      `overlay: unknown option ${show(name)}; known options are ${KNOWN.join(', ')}${didYouMean(name, KNOWN)}`,
    )
  }
  const given = options as OverlayOptions
  const { position = 'bottom-right', path = '/__fragcache/overlay' } = given
  const { editor = 'vscode://file/{path}:{line}', views, inspector, authorize, pages } = given
  if (!POSITIONS.includes(position)) {
    throw new MisuseError(
      `overlay: position: ${show(position)} is unknown; there are ${POSITIONS.join(', ')}${didYouMean(position, POSITIONS)}`,
    )
  }
  if (authorize !== undefined && typeof authorize !== 'function') {
    throw new MisuseError(
      `overlay: authorize: ${show(authorize)} is not a function; give (req) => …, or leave it out`,
    )
  }
  if (typeof path !== 'string' || !PATH.test(path)) {
    throw new MisuseError(
      `overlay: path: ${show(path)} is not a path; give one such as "/__fragcache/overlay"`,
    )
  }
  const inEditor = checkEditor('overlay', { editor, views })
  if (inspector !== undefined && (typeof inspector !== 'string' || !PATH.test(inspector))) {
    throw new MisuseError(
      `overlay: inspector: ${show(inspector)} is not a path; give that of the inspector, such as "/__cache"`,
    )
  }
  checkPages('overlay', pages)
  return {
    position,
    authorize: authorize && { of: 'overlay', isMiddleware: false, ask: (req) => authorize(req) },
    path,
    ...inEditor,
    inspector,
    pages,
  }
}
