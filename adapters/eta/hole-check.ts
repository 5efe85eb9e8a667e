import type { TagPosition } from '../../src/errors.js'
import { holeFaults } from '../../src/fragment/named-values.js'
import { etaFaults } from './faults.js'
import type { Scope, ScopeReader } from './scopes.js'
import type { AstNode, EtaConfig } from './types.js'

/** A nocache block as it is read. */
export interface ReadHole {
  readonly scope: Scope
  /** The names of the values that it is given. */
  readonly names: ReadonlySet<string>
  readonly position: TagPosition
}

/** Functions of Eta's that change what comes after them. */
const LOST = new Set(['layout', 'block', 'blockAsync'])

/**
 * Checks what a nocache block uses.
 *
 * @throws CacheTagError: it cannot be rendered by itself.
 */
export function checkHole(
  { scope, names, position }: ReadHole,
  reader: ScopeReader,
  { useWith, varName }: EtaConfig,
): void {
  const leak = reader.leaks.find((one) => one.hole === scope)
  if (leak !== undefined) throw etaFaults.holeLeaks(leak.name, position)
  if (reader.returns.includes(scope)) throw etaFaults.holeCode('there is a return', position)
  for (const use of reader.uses) {
    if (!use.scope.isIn(scope)) continue
    const { name } = use
    const declared = use.scope.find(name)
    if (declared?.isIn(scope) === true) continue
    const at = { ...position, line: use.line ?? position.line }
    // With that option a name is a property of the data, and so a value of the block. The data are the page's.
    const isSeen = name === varName || (useWith === true && names.has(name))
    if (declared !== undefined && !isSeen) {
      const example = `<% nocache ${name}=${name} %> with ${useWith === true ? name : `${varName}.${name}`} in the block`
      throw holeFaults.ownName(name, example, at)
    }
    if (declared === undefined && LOST.has(name)) throw etaFaults.lostFromHole(name, at)
  }
}

const AsyncFunction = (async () => undefined).constructor as new (code: string) => unknown

/** @throws CacheTagError: the content of a nocache block is not code that can run on its own. */
export function checkHoleCode(nodes: readonly AstNode[], position: TagPosition): void {
  const code = nodes.map((node) => {
    if (typeof node === 'string') return ';'
    const { t, val = '' } = node
    // What is put out may call a function that ends in a later tag.
    return t === 'e' ? `${val}\n` : t === 'i' || t === 'r' ? `;__eta=${val}\n;` : ';'
  })
  try {
    new AsyncFunction(code.join(''))
  } catch (error) {
    throw etaFaults.holeCode((error as Error).message, position)
  }
}
