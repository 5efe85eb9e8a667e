import type { Engine } from './engine.js'
import { hasOtherExtensions } from './other-tags.js'

interface Known {
  readonly engine: WeakRef<Engine>
  /** As it was when the tag was registered. */
  readonly getTemplate: Engine['getTemplate']
}

/** More environments are not looked through before each render. */
const MAX_KNOWN = 20

const known: Known[] = []
let oneMayWait = false

/** Notes an environment with the tag, whose way to templates is instrumented. */
export function noteEnvironment(engine: Engine): void {
  if (known.length >= MAX_KNOWN) oneMayWait = true
  else known.push({ engine: new WeakRef(engine), getTemplate: engine.getTemplate })
}

/**
 * Whether the code of a template may go on after something has answered: in any environment of this process,
 * since a template of one may be in another's.
 */
export function mayWait(): boolean {
  oneMayWait ||= known.some(({ engine, getTemplate }) => {
    const found = engine.deref()
    return found !== undefined && (found.getTemplate !== getTemplate || isAsynchronous(found))
  })
  return oneMayWait
}

function isAsynchronous(engine: Engine): boolean {
  const { asyncFilters, loaders } = engine
  if (asyncFilters.length > 0 || hasOtherExtensions(engine)) return true
  return loaders.some((loader) => loader.async === true)
}
