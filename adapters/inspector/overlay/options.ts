import { didYouMean } from '../../../src/did-you-mean.js'
import type { IncomingMessage } from 'node:http'
import { isCaches } from '../../../src/caches.js'
import { MisuseError, show } from '../../../src/errors.js'
import type { Authorize } from '../options.js'

/** Where the overlay's bar stands. */
export type OverlayPosition = 'bottom-right' | 'bottom-left' | 'top-right' | 'top-left'

/** Options of `overlay`. */
export interface OverlayOptions {
  /** The corner of the window that the bar stands in. Default: `bottom-right`. */
  readonly position?: OverlayPosition | undefined
  /**
   * Who sees the overlay and may invalidate by it: whoever it returns `true` for, or a promise of it. An
   * error is a refusal. All others get the page as it is.
   *
   * Without it only requests from this machine, made to `localhost` and over no proxy.
   */
  // A method, so that a function that takes Express' own request fits.
  authorize?(req: IncomingMessage): boolean | Promise<boolean>
  /** The path that the overlay's buttons post to. Default: `/__fragcache/overlay`. */
  readonly path?: string | undefined
}

const POSITIONS: readonly string[] = ['bottom-right', 'bottom-left', 'top-right', 'top-left']
const KNOWN = ['position', 'authorize', 'path']

/** The options with their defaults. */
export interface OverlaySettings {
  readonly position: OverlayPosition
  readonly authorize: Authorize | undefined
  readonly path: string
}

/** @throws TypeError: an option is unknown or of the wrong kind. */
export function resolveOverlayOptions(options: unknown): OverlaySettings {
  if (typeof options !== 'object' || options === null) {
    throw new MisuseError(`overlay: ${show(options)} are no options; give an object, or nothing`)
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
  const authorize = (given as { readonly authorize?: unknown }).authorize
  if (!POSITIONS.includes(position)) {
    throw new MisuseError(
      `overlay: position: ${show(position)} is unknown; there are ${POSITIONS.join(', ')}${didYouMean(position, POSITIONS)}`,
    )
  }
  if (authorize !== undefined && typeof authorize !== 'function') {
    throw new MisuseError(
      `overlay: authorize: ${show(authorize)} is no function; give (req) => …, or leave it out`,
    )
  }
  if (typeof path !== 'string' || !/^\/[\w.~!$&'()*+,;=:@%/-]*$/.test(path)) {
    throw new MisuseError(
      `overlay: path: ${show(path)} is no path; give one such as "/__fragcache/overlay"`,
    )
  }
  return {
    position,
    authorize: authorize && {
      of: 'overlay',
      isMiddleware: false,
      ask: (req) => (given as Required<OverlayOptions>).authorize(req),
    },
    path,
  }
}
