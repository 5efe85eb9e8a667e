import type { ServerResponse } from 'node:http'
import { formatCacheStatus, type Forward, type Handling } from '../../src/http/cache-status.js'
import type { HeaderValue } from '../../src/http/header-values.js'
import { patchedVary } from '../../src/http/patch-headers.js'
import type { PageLookup } from '../../src/pages/page.js'

/** The headers that the cache adds to. */
export const SAYABLE = ['Cache-Control', 'Expires', 'Cache-Status', 'Vary'] as const

/** The values of these headers. */
export type Sayable = Readonly<Record<string, HeaderValue | undefined>>

/** As they are now. */
export function sayable(res: ServerResponse): Sayable {
  return Object.fromEntries(SAYABLE.map((name) => [name, res.getHeader(name)]))
}

/** The member nearest to the origin comes first. */
export function appendCacheStatus(res: ServerResponse, handling: Handling): void {
  const member = formatCacheStatus(handling)
  const present = res.getHeader('Cache-Status')
  const before = present === undefined ? '' : `${[present].flat().join(', ')}, `
  res.setHeader('Cache-Status', before + member)
}

/** Says that an answer depends on a request header, unless it does so already. */
export function addToVary(res: ServerResponse, name: string): void {
  res.setHeader('Vary', patchedVary(res.getHeader('Vary'), [name]))
}

/** Why a request goes to the handler: nothing is stored for its URI, or not this variant. */
export function forwardOf(lookup: PageLookup | undefined): Forward {
  return lookup !== undefined && lookup.headerList.length > 0 ? 'vary-miss' : 'uri-miss'
}
