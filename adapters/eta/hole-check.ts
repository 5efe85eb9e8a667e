import type { TagPosition } from '../../src/errors.js'
import { etaFaults } from './faults.js'
import { tokenize } from './javascript.js'
import type { Scope, ScopeReader, NameUse } from './scopes.js'
import type { AstNode, EtaConfig } from './types.js'

/** A nocache block as it is read. */
export interface ReadHole {
  readonly scope: Scope
  /** The outermost cache tag around it, within the nocache block around it if there is one. */
  readonly tag: Scope | undefined
  readonly position: TagPosition
}

/** What is known of a nocache block when its template is compiled. */
export interface HoleFacts {
  /** The properties of the template's data that it uses; `undefined`: perhaps all of them. */
  readonly uses: readonly string[] | undefined
  /** A name it uses that its template makes outside of it. */
  readonly outer?: string | undefined
  /** A function it calls that does nothing any more on a hit. */
  readonly lost?: string | undefined
  /** Whether it waits. */
  readonly awaits: boolean
}

/** Functions of Eta's that change what comes after them. */
const LOST = new Set(['layout', 'block', 'blockAsync'])

/** What Eta gives to a template besides its data, and what is no name of anything's. */
const GIVEN = new Set(['options', '__eta', 'capture', 'captureAsync', 'async', 'of', 'undefined'])

/** What hands on all of a template's data. */
const HANDING_ON = new Set(['include', 'includeAsync', 'eval', 'arguments'])

/**
 * Finds out what a nocache block uses.
 *
 * @throws CacheTagError: on a hit it could not be rendered, or would show something else.
 */
export function checkHole(hole: ReadHole, reader: ScopeReader, config: EtaConfig): HoleFacts {
  const { scope, tag, position } = hole
  const leak = reader.leaks.find((one) => one.hole === scope)
  if (leak !== undefined) throw etaFaults.holeLeaks(leak.name, position)
  if (reader.returns.includes(scope)) throw etaFaults.holeCode('there is a return', position)
  const changes = tag === undefined ? [] : changesIn(tag, reader)
  // What the header makes, it may make of the data.
  const header = new Set(tokenize(config.functionHeader).map(({ text }) => text))
  const uses = new Set<string>()
  let usesAll = false
  let outer: string | undefined
  let lost: string | undefined
  for (const use of reader.uses) {
    if (!use.scope.isIn(scope)) continue
    const { name } = use
    const declared = use.scope.find(name)
    if (declared?.isIn(scope) === true) continue
    const at = { ...position, line: use.line ?? position.line }
    if (tag !== undefined) {
      if (declared?.isIn(tag) === true) throw etaFaults.madeInside(name, at)
      if (use.does === 'assign') throw etaFaults.changedByHole(name, at)
      if (changes.some((change) => touches(change, use))) throw etaFaults.changedInside(name, at)
    }
    if (declared !== undefined || use.does === 'assign') outer ??= name
    else if (LOST.has(name)) {
      if (tag !== undefined) throw etaFaults.lostFromHole(name, at)
      lost ??= name
    } else if (name === config.varName) {
      if (use.property === undefined) usesAll = true
      else uses.add(use.property)
    } else if (HANDING_ON.has(name) || header.has(name)) usesAll = true
    else if (config.useWith && !GIVEN.has(name) && name !== config.outputFunctionName) {
      uses.add(name)
    }
  }
  return {
    uses: usesAll ? undefined : [...uses],
    outer,
    lost,
    awaits: reader.waits.includes(scope),
  }
}

/** Where a cached body changes what is made outside of it. */
function changesIn(tag: Scope, { uses }: ScopeReader): NameUse[] {
  return uses.filter(({ does, scope, name }) => {
    if (does === 'read' || !scope.isIn(tag) || scope.nearest('hole') !== undefined) return false
    return scope.find(name)?.isIn(tag) !== true
  })
}

/** Whether a change is of what is used. */
function touches(change: NameUse, use: NameUse): boolean {
  if (change.name !== use.name || change.scope.find(change.name) !== use.scope.find(use.name)) {
    return false
  }
  if (change.does === 'assign') return true
  const [changed, used] = [change.property, use.property]
  return changed === undefined || used === undefined || changed === used
}

const AsyncFunction = (async () => undefined).constructor as new (code: string) => unknown

/** @throws CacheTagError: what stands in a nocache block is no code that can run by itself. */
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
