/** The name under which compiled templates find the extension. */
export const EXTENSION = 'fragcache'

/** What of the environment the parsing of a tag needs. */
export interface ParseSettings {
  readonly asyncFilters: readonly string[]
  /** The template that is being compiled, if it is known. */
  readonly template: string | undefined
  /** Whether tags are to know a digest of their template's source. */
  readonly digest: boolean
}
