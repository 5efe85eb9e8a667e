import type { TagValues } from '../../src/engine.js'
import { Ahead, type Trails } from '../../src/fragment/ahead.js'
import type { Fragment } from '../../src/fragment/spec.js'
import { runAsyncIn } from '../../src/making/frame.js'
import type { EtaSite } from './site.js'
import type { Page } from './templates.js'

/** A tag and what gives the values of its arguments. */
export type Told = readonly [site: EtaSite, read: () => TagValues]

/** Gives the tags of a template whose arguments can be told before they are met. */
export type Tells = () => readonly Told[]

/** What the tags of a page ask asynchronous caches for. */
export function aheadOf(page: Page, trails: Trails): Ahead {
  return (page.ahead ??= new Ahead(trails, page.root))
}

/**
 * The fragments that a template is going to ask for, as far as that is known ahead.
 *
 * @param toFragment - Throws if something is wrong with a tag. The error is reported where the tag is
 *   reached.
 */
export function fragmentsTold(
  told: readonly Told[],
  toFragment: (site: EtaSite, values: TagValues) => Fragment,
): Fragment[] {
  const fragments: Fragment[] = []
  // What is read of a visitor is not read for the fragment that is being made.
  runAsyncIn(undefined, () => {
    for (const [site, read] of told) {
      try {
        const values = read()
        // Of what is undefined it would warn, also where the tag is not met.
        if (!values.varyOn.includes(undefined)) fragments.push(toFragment(site, values))
      } catch {
        // It may be a tag that is not met.
      }
    }
  })
  return fragments
}
