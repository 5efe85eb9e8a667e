/** What a run does. */
export interface Plan {
  /** Behind a tier, only the scenarios. */
  readonly isShort: boolean
  readonly stores: readonly string[]
  readonly faults: readonly string[]
  /** Of random reads and writes per store. */
  readonly seconds: number
  readonly workers: number
  readonly seed: number
  readonly plant: number | undefined
}

/** @throws Error: something is unknown or out of range; with what there is. */
export function toPlan(args: readonly string[]): Plan
