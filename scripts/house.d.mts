/** A measure of the code, and what it should be at most. */
export interface Row {
  readonly what: string
  readonly today: number
  readonly goal: number
  /** The class that has the most, where the row is of one. */
  readonly where: string
}

/** Files of which each imports, by way of others, each. */
export interface Circle {
  readonly files: readonly string[]
  /** One way around, from a file back to itself. */
  readonly shortest: readonly string[]
}

export interface House {
  readonly rows: readonly Row[]
  readonly circles: readonly Circle[]
  readonly longFiles: readonly { readonly file: string; readonly lines: number }[]
}

/** Measures `src` and `adapters` in the folder `root`. */
export function measure(root: string): House

/** The table as text, and below it each circle and each long file. */
export function report(house: House): string

/** The rows over their goal. */
export function missed(house: House): readonly Row[]
