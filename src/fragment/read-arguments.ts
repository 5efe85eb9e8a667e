import type { TagArguments } from './arguments.js'
import type { Keyword } from './faults.js'
import { beginVaryOn, endVaryOn, readVaryOn } from './guard.js'
import type { TagValues } from './spec.js'

/**
 * Evaluates a tag's arguments.
 *
 * @param read - Evaluates one argument at once.
 * @throws What `read` throws.
 */
export function readArguments<Argument>(
  { timeout, varyOn, keywords }: TagArguments<Argument>,
  read: (argument: Argument) => unknown,
): TagValues {
  beginVaryOn()
  let declared: ReadonlySet<string> | undefined
  let values: readonly unknown[]
  try {
    values = varyOn.map((argument) => read(argument))
  } finally {
    declared = endVaryOn()
  }
  const given: Partial<Record<Keyword, unknown>> = {}
  for (const [keyword, argument] of keywords) given[keyword] = read(argument)
  return { ...given, timeout: read(timeout), varyOn: values, declared }
}

/**
 * Works like {@link readArguments}, one argument after the other, for engines that may have to wait for an
 * argument.
 */
export async function readArgumentsAsync<Argument>(
  { timeout, varyOn, keywords }: TagArguments<Argument>,
  read: (argument: Argument) => unknown,
): Promise<TagValues> {
  const { varyOn: values, declared } = await readVaryOn(async () => {
    const texts: unknown[] = []
    for (const argument of varyOn) texts.push(await read(argument))
    return texts
  })
  const given: Partial<Record<Keyword, unknown>> = {}
  for (const [keyword, argument] of keywords) given[keyword] = await read(argument)
  return { ...given, timeout: await read(timeout), varyOn: values, declared }
}
