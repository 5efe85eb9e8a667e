import type { TagPosition } from '../../../src/errors.js'
import { routeName } from '../../node/routes.js'
import { EditorLinks } from '../editor.js'
import type { ExpressRequest } from '../security.js'
import type { OverlaySettings } from './options.js'

/** Where more is known of a fragment, or it can be changed. */
export interface Links {
  /** Of its template, in the editor. */
  readonly inEditor?: string
  /** Of its page in the inspector. */
  readonly inInspector?: string
}

/** What Express knows of the route of a request. */
interface Routed {
  readonly route?: unknown
}

/** Makes the links of one page. */
export class LinkMaker {
  readonly #editor: EditorLinks

  /** @param req - Of the page, once it is answered. */
  constructor(
    private readonly settings: Pick<OverlaySettings, 'editor' | 'inspector' | 'views'>,
    req: ExpressRequest,
  ) {
    this.#editor = new EditorLinks(settings, req)
  }

  ofFragment({ template, line, fragment = '' }: TagPosition, alias: string): Links {
    const inEditor = template === undefined ? undefined : this.#editor.to(template, line)
    const inInspector = this.#inInspector('fragment', { alias, name: fragment })
    return {
      ...(inEditor !== undefined && { inEditor }),
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
}

/** Such as `GET /countries/:code`; `undefined`: there is none, or it is not known yet. */
export function routeOf(req: ExpressRequest & Routed): string | undefined {
  return req.route === undefined ? undefined : routeName(req)
}
