import { isObject } from '../../src/fragment/personal-names.js'
import type { Code, Container, DataFrame } from './engine.js'
import { containerFor } from './no-context.js'
import { copyFrame } from './scope.js'
import { placeOfContext, placeOfParam } from './syntax.js'

/** What is seen instead of what a body is of, and of what is around it. */
export interface Seen {
  /** Instead of a context. */
  readonly context: (context: unknown) => unknown
  /** Instead of what the blocks around the body hold. @param place - Where that is. */
  readonly held: (value: unknown, place: string) => unknown
  /** Instead of a value of the data. */
  readonly data: (name: string, value: unknown) => unknown
}

let current: Seen | undefined
/** The code of the body itself has not begun yet. */
let isAtBody = false

/**
 * Runs a body whose code sees something else instead of its contexts. So does all code that is called from
 * it, including that of blocks around.
 *
 * @param seen - `undefined`: it sees them as they are.
 */
export function seeing<T>(seen: Seen | undefined, run: () => T): T {
  const outer = [current, isAtBody] as const
  current = seen
  isAtBody = seen !== undefined
  try {
    return run()
  } finally {
    ;[current, isAtBody] = outer
  }
}

/** The same where only the data are seen instead, unless something is seen already. */
export function seeingData<T>(data: Seen['data'] | undefined, run: () => T): T {
  if (data === undefined || current !== undefined) return run()
  const same = (value: unknown): unknown => value
  return seeing({ context: same, held: same, data }, run)
}

/** Code that sees what {@link seeing} says. */
export function seeingCode(code: Code): Code {
  const seen: Code = (container, context, helpers, partials, data, blockParams, depths) => {
    if (current === undefined) {
      return code(
        containerFor(container as Container, context),
        context,
        helpers,
        partials,
        data,
        blockParams,
        depths,
      )
    }
    const see = current.context
    // What a block inside is of is read of what the body sees.
    const held = isAtBody ? current.held : see
    isAtBody = false
    // The first are the body's own.
    const params = blockParams?.map((block, level) =>
      Array.isArray(block)
        ? seenParams(block, (one, at) => held(one, placeOfParam(level - 1, at)))
        : block,
    )
    const around = depths?.map((one, depth) => held(one, placeOfContext(depth)))
    // Where templates have no data, it is what the option `data` of the render says, such as false.
    const own = isObject(data) ? seenData(data, see) : undefined
    const base = container as Container
    const given = own === undefined ? base : seeingContainer(base, own)
    const seenContext = held(context, placeOfContext(0))
    return code(
      containerFor(given, seenContext),
      seenContext,
      helpers,
      partials,
      own ?? data,
      params,
      around,
    )
  }
  return Object.assign(seen, code)
}

/** @param block - A list with the names of its values under `path`, by the compile option `trackIds`. */
function seenParams(
  block: unknown[] & { readonly path?: unknown },
  see: (value: unknown, at: number) => unknown,
): unknown[] {
  const seen = block.map(see)
  return 'path' in block ? Object.assign(seen, { path: block.path }) : seen
}

function seenData(data: DataFrame, see: Seen['context']): DataFrame {
  if (!('root' in data)) return data
  const root = see(data.root)
  if (root === data.root) return data
  const copy = copyFrame(data)
  copy.root = root
  return copy
}

/** Containers of which the code of a body looks up what it reads, by those of their templates. */
const containers = new WeakMap<Container, Container>()
/** The data of code that runs in a body. */
const frames = new WeakSet<object>()

/** A container whose lookups in the data are seen. */
function seeingContainer(container: Container, data: DataFrame): Container {
  frames.add(data)
  let seeing = containers.get(container)
  if (seeing === undefined) {
    seeing = Object.create(container, {
      lookupProperty: {
        value: (parent: unknown, name: string) => {
          const value = container.lookupProperty(parent, name)
          const isData = current !== undefined && isFrame(parent)
          return isData ? current?.data(name, value) : value
        },
      },
      data: {
        value: (given: unknown, depth: number) => {
          const frame = container.data(given, depth)
          if (frames.has(given as object) && typeof frame === 'object') frames.add(frame as object)
          return frame
        },
      },
    }) as Container
    containers.set(container, seeing)
  }
  return seeing
}

function isFrame(value: unknown): boolean {
  return isObject(value) && frames.has(value)
}
