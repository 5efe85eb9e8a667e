import { show } from '../errors.js'
import type { Fragment } from './spec.js'

/** A body's text. @throws TypeError: it gave none, which would store "undefined" for everyone. */
export function toText(value: unknown, { site }: Fragment): string {
  if (typeof value === 'string') return value
  if (value instanceof String) return value.toString()
  throw new TypeError(
    `the body of the fragment ${JSON.stringify(site.fragment)} gave ${show(value)} instead of a string`,
  )
}
