/** Variables that compiled code holds in variables of its own, by name. */
export class Held extends Map<string, unknown> {
  /** Those of loops and call blocks. */
  readonly inner = new Set<string>()
  /** Parameters: of a macro or call block, or those that the body of a tag has for all that is held. */
  readonly parameters = new Set<string>()
}

export const NOTHING_HELD = new Held()
