import type { ServerResponse } from 'node:http'
import { formatCacheStatus, type Forward, type Handling } from '../../src/http/cache-status.js'
import type { HeaderValue } from '../../src/http/header-values.js'
import { patchedVary } from '../../src/http/patch-headers.js'
import type { StoredHeader } from '../../src/http/stored-response.js'
import { TOLD } from '../../src/pages/told-headers.js'
import type { PageLookup } from '../../src/pages/page.js'

/** The headers that the cache speaks in. */
export const SAYABLE = ['Cache-Control', 'Expires', 'Cache-Status', 'Vary'] as const

/** Their values. */
export type Sayable = Readonly<Record<(typeof SAYABLE)[number], HeaderValue | undefined>>

/** As they are now. */
export function sayable(res: ServerResponse): Sayable {
  return {
    'Cache-Control': res.getHeader('Cache-Control'),
    Expires: res.getHeader('Expires'),
    'Cache-Status': res.getHeader('Cache-Status'),
    Vary: res.getHeader('Vary'),
  }
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

/** Why a request goes to the view: nothing of the URI is there, or not this variant. */
export function forwardOf(lookup: PageLookup | undefined): Forward {
  return lookup !== undefined && lookup.headerList.length > 0 ? 'vary-miss' : 'uri-miss'
}

/** What is told to later caches, as it is now. */
export function toldHeadersOf(res: ServerResponse): readonly StoredHeader[] {
  return TOLD.flatMap((name) => {
    const value = res.getHeader(name)
    return value === undefined
      ? []
      : [[name, Array.isArray(value) ? value : String(value)] as const]
  })
}
