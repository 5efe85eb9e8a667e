/** What a template's markup comes from. */
export interface TemplateSource {
  readonly hash: string
  /** The templates it names, by include or as its layout. */
  readonly names: readonly string[]
  /** Whether it also includes by an expression, or by another name, which cannot be followed. */
  readonly isDynamic: boolean
}

/** What is known of a tag when its template is compiled; handed to the run time as JSON. */
export interface CompiledTag {
  readonly fragment: string
  readonly line?: number | undefined
  /** Whether there may be an `await` in the body. */
  readonly awaits: boolean
  /** Whether there are cache tags in the body. */
  readonly nests: boolean
  /** Whether the template looks at Eta's buffer, which must then hold all that came before. */
  readonly exposed: boolean
  /** Whether there are keywords. */
  readonly hasKeywords?: true
  /** The variables of the template's data that the vary-on values name. */
  readonly varyOnNames?: readonly string[]
  /** Those of the template itself that they name. */
  readonly ownNames?: readonly string[] | undefined
  /** The template's source and the templates it names, for the digest. */
  readonly source?: TemplateSource | undefined
}

/** What is known of a nocache block when its template is compiled; handed to the run time as JSON. */
export interface CompiledHole {
  /** Tells it from other blocks of the template, and from itself before it was changed. */
  readonly id: string
  readonly line?: number | undefined
}

/** The text in front of the list of a template's nocache blocks, in a comment at its beginning. */
export const HOLES = 'fragcache:holes '
