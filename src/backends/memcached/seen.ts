import type { Generations } from './generations.js'

/** What the record of generations said in one write to a server. Filled in by the answer. */
export interface Seen {
  /** `undefined`: there was none. */
  record: Generations | undefined
  /** It could not be read. */
  error: Error | undefined
}
