import type { Code, DataFrame } from './engine.js'
import { copyFrame } from './scope.js'

/** Returns what is seen instead of a context. */
export type See = (context: unknown) => unknown

let current: See | undefined

/**
 * Runs a body whose code sees something else instead of its contexts. So does all code that is called from
 * it, including that of blocks around.
 *
 * @param see - `undefined`: it sees them as they are.
 */
export function seeing<T>(see: See | undefined, run: () => T): T {
  const outer = current
  current = see
  try {
    return run()
  } finally {
    current = outer
  }
}

/** Code that sees what {@link seeing} says. */
export function seeingCode(code: Code): Code {
  const seen: Code = (container, context, helpers, partials, data, blockParams, depths) => {
    const see = current
    if (see === undefined) {
      return code(container, context, helpers, partials, data, blockParams, depths)
    }
    const params = blockParams?.map((one) => (Array.isArray(one) ? one.map(see) : one))
    const own = data && seenData(data, see)
    return code(container, see(context), helpers, partials, own, params, depths?.map(see))
  }
  return Object.assign(seen, code)
}

function seenData(data: DataFrame, see: See): DataFrame {
  if (!('root' in data)) return data
  const root = see(data.root)
  if (root === data.root) return data
  const copy = copyFrame(data)
  copy.root = root
  return copy
}
