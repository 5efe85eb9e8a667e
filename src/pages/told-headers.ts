import type { Downstream } from './policy.js'
import { headerOf, type HeaderFields } from '../http/header-values.js'
import type { StoredHeader, StoredResponse } from '../http/stored-response.js'

/** Headers that tell later caches how long a page is stored. */
export const TOLD = ['Cache-Control', 'Expires'] as const

/** The values of these two headers. */
export function saidOf(headers: HeaderFields): StoredResponse['said'] {
  return TOLD.map((name) => {
    const value = headerOf(headers, name.toLowerCase())
    if (value === undefined) return [name, null] as const
    return [name, typeof value === 'number' ? String(value) : value] as const
  })
}

/** The headers as the handler set them. */
export function unsaid({ headers, said }: StoredResponse): readonly StoredHeader[] {
  if (said.length === 0) return headers
  const names = said.map(([name]) => name.toLowerCase())
  const others = headers.filter(([name]) => !names.includes(name.toLowerCase()))
  const before = said.flatMap(([name, value]) => (value === null ? [] : [[name, value] as const]))
  return [...others, ...before]
}

/** The headers with what later caches get. */
export function tell(
  headers: readonly StoredHeader[],
  { cacheControl, expires }: Downstream,
): readonly StoredHeader[] {
  const others = headers.filter(([name]) => {
    const lower = name.toLowerCase()
    return lower !== 'cache-control' && !(lower === 'expires' && expires !== undefined)
  })
  const told: StoredHeader[] = [['Cache-Control', cacheControl]]
  if (expires !== undefined) told.push(['Expires', expires])
  return [...others, ...told]
}
