import { chain, type MaybePromise } from '../../src/maybe-promise.js'
import type { HoleRef, HoleRenderer } from '../../src/fragment/hole-parts.js'
import { HolesOfPage, type HoleSource } from '../../src/fragment/holes.js'
import { withValues, type NamedValues } from '../../src/fragment/named-values.js'
import {
  findHole,
  HOLE,
  PAGE,
  type AskedHole,
  type Engine,
  type FoundHole,
  type Page,
} from './templates.js'

/** The name by which holes are stored as this engine's. */
export const ENGINE = 'eta'

/** A hole and the engine that found it. */
interface FoundIn extends FoundHole {
  readonly engine: Engine
}

/** Finds holes by their templates' names in any of several engines. */
class EngineHoles implements HoleSource<Page, FoundIn> {
  readonly name = ENGINE

  constructor(private readonly engines: () => Iterable<Engine>) {}

  find(template: string, id: string): FoundIn | undefined {
    for (const engine of this.engines()) {
      const found = findHole(engine, template, id, true)
      if (found !== undefined) return { ...found, engine }
    }
    return undefined
  }

  render(found: FoundIn, page: Page, _ref: HoleRef, values: NamedValues): MaybePromise<string> {
    return runHole(found, found.engine, page, values, undefined)
  }
}

/**
 * Renders holes with data given from code.
 *
 * @param engines - Asked each time: engines may come to be known meanwhile.
 */
export function holesOfEngines(engines: () => Iterable<Engine>, data: object): HoleRenderer {
  return new HolesOfPage(new EngineHoles(engines), newPage(data), true)
}

/** @param data - What the application renders, or gives for the holes. */
export function newPage(data: object | undefined, root = ''): Page {
  return { data, hasShown: false, layoutTexts: [], ahead: undefined, root }
}

/**
 * Renders a hole by its template's own code, with the data of the page and the values that it names.
 *
 * @param filepath - Of the template, where it was not found by its name.
 * @returns A promise only where the hole waits.
 * @throws What the hole throws.
 */
export function runHole(
  { template, path, hole }: FoundHole,
  engine: Engine,
  page: Page,
  values: NamedValues,
  filepath: string | undefined,
): MaybePromise<string> {
  const asked: AskedHole = { id: hole.id, result: undefined }
  const data = withValues(page.data, values) as object
  page.hasShown = true
  const options = { filepath: path ?? filepath, [HOLE]: asked, [PAGE]: page }
  const rendered = template.call(engine, data, options)
  if (typeof rendered === 'string') return rendered
  const { result } = asked
  if (result === undefined) return chain(rendered, (text) => text)
  // An asynchronous template gives a promise also where nothing in the hole waits.
  rendered.catch(() => undefined)
  if ('error' in result) throw result.error
  return result.text
}
