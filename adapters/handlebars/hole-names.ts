import { isScoped, type Node } from './syntax.js'

/** Names of data that a loop sets again with every turn. */
const LOOP_DATA: readonly string[] = ['index', 'key', 'first', 'last']

/** What is around a nocache block in its template. */
export interface HolePlace {
  /** The block parameters of the blocks around it. */
  readonly params: readonly string[]
  /** Whether a block around it has a context of its own. */
  readonly isApart: boolean
}

/** A name that a nocache block uses and does not see. */
export interface OwnName {
  readonly name: string
  /** How to name it in the block's tag. */
  readonly named: string
}

/** Where a node is inside the block. */
interface Spot {
  /** The block's own blocks around that have a context of their own. */
  readonly contexts: number
  readonly loops: number
  readonly params: readonly string[]
}

/**
 * Finds a name that is made in a nocache block's template and not by the block itself.
 *
 * @param names - Those of the block's values. Where one is that of a block parameter, Handlebars would
 *   take a path for the parameter: the path is changed.
 */
export function findOwnName(
  program: Node,
  place: HolePlace,
  names: ReadonlySet<string>,
): OwnName | undefined {
  const inPath = (path: Node, { contexts, loops, params }: Spot): OwnName | undefined => {
    const { parts = [], depth = 0, original } = path
    const [first] = parts
    if (path.data === true) {
      const isOfLoop = first !== undefined && LOOP_DATA.includes(first) && depth >= loops
      return isOfLoop ? { name: `@${first}`, named: `${first}=@${first}` } : undefined
    }
    const name = String(original)
    if (depth > contexts) return { name, named: `${parts.at(-1) ?? 'parent'}=${name}` }
    if (isScoped(path)) {
      const isOuter = depth === 0 && contexts === 0 && place.isApart
      return isOuter ? { name, named: `${parts.at(-1) ?? 'item'}=${name}` } : undefined
    }
    if (first === undefined || depth > 0 || params.includes(first)) return undefined
    if (!place.params.includes(first)) return undefined
    if (!names.has(first)) return { name: first, named: `${first}=${first}` }
    Object.assign(path, { original: `./${name}`, depth: contexts })
    return undefined
  }

  const inAll = (nodes: Iterable<Node | null | undefined>, spot: Spot): OwnName | undefined => {
    for (const node of nodes) {
      const found = node && inNode(node, spot)
      if (found !== undefined && found !== null) return found
    }
    return undefined
  }

  const inNode = (node: Node, spot: Spot): OwnName | undefined => {
    if (node.type === 'PathExpression') return inPath(node, spot)
    const { path, name, params, hash, body, inverse, blockParams } = node
    const given = [path, name, ...(params ?? []), ...(hash?.pairs ?? []).map(({ value }) => value)]
    const here = blockParams?.length ? { ...spot, params: [...blockParams, ...spot.params] } : spot
    return (
      inAll(
        given.filter((one) => typeof one === 'object'),
        spot,
      ) ??
      inAll(body ?? [], here) ??
      // The body of a block, with the block's context.
      inAll([node.program], enter(node, here)) ??
      inAll([inverse], here)
    )
  }

  return inNode(program, { contexts: 0, loops: 0, params: [] })
}

/** Whether a block renders its body in a context of its own, as far as is known. */
export function hasOwnContext({ type, path }: Node): boolean {
  return type === 'BlockStatement' && (path?.original === 'each' || path?.original === 'with')
}

function enter(block: Node, spot: Spot): Spot {
  if (!hasOwnContext(block)) return spot
  const isLoop = block.path?.original === 'each'
  return { ...spot, contexts: spot.contexts + 1, loops: spot.loops + (isLoop ? 1 : 0) }
}
