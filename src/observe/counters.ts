/** Counters by name. They are only ever added to: who wants what came since some moment keeps those of then. */
export type Counters<Name extends string = string> = Record<Name, number>

/** What was counted since. */
export function since<Name extends string>(
  now: Readonly<Counters<Name>>,
  before: Readonly<Counters<Name>> | undefined,
): Counters<Name> {
  const counted: Counters<Name> = { ...now }
  for (const name in before) counted[name] -= before[name]
  return counted
}

/** Adds counters to others. */
export function addTo<Name extends string>(
  sums: Counters<Name>,
  counted: Readonly<Counters<Name>>,
): void {
  for (const name in counted) sums[name] += counted[name]
}

export function totalOf(counters: Readonly<Counters>): number {
  let sum = 0
  for (const name in counters) sum += counters[name] as number
  return sum
}
