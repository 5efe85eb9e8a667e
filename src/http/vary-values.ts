import { headerText, trimWhitespace, type HeaderFields } from './header-values.js'
import { readList } from './lists.js'
import { ROUTED } from './page-key.js'

/**
 * The values that a request has for a list of headers, normalized: those that mean the same become the same.
 *
 * @remarks For RFC mode alone: Django's keys take the values as they were sent. So does this with a list of more
 *   than 8192 characters or 100 members.
 * @see RFC 9111 §4.1
 */
export function normalizedHeaders(
  headerList: readonly string[],
  headers: HeaderFields,
): HeaderFields {
  // Without a prototype: a header may be called __proto__.
  const normalized = Object.create(null) as Record<string, string | undefined>
  for (const name of headerList) {
    const value = headerText(headers, name)
    if (value === undefined) continue
    normalized[name] = normalizedValue(name, value)
  }
  return normalized
}

/** Headers whose values are no lists, or have to be compared exactly. */
const AS_SENT = new Set(['authorization', 'cookie', 'proxy-authorization', 'x-api-key', ROUTED])

function normalizedValue(name: string, value: string): string {
  if (name === 'accept-language') return normalizedLanguages(value)
  return AS_SENT.has(name) ? value : normalizedList(value)
}

/** Blanks around the members of a list mean nothing, nor do empty members. */
function normalizedList(value: string): string {
  // Within quotes blanks may mean something.
  if (value.includes('"')) return value
  return readList(value)?.join(', ') ?? value
}

/** Neither case nor the order of equal weights means anything. @see RFC 9110 §12.5.4 */
function normalizedLanguages(value: string): string {
  const ranges = readList(value.toLowerCase())?.map((member) =>
    member.split(';', 3).map(trimWhitespace),
  )
  // Nothing but a weight may follow a language.
  if (ranges === undefined || ranges.some((parts) => parts.length > 2)) return value
  return ranges
    .map((parts) => {
      const weight = parts[1]
      const quality = weight?.startsWith('q=') === true ? Number(weight.slice(2)) : 1
      return { text: parts.join(';'), quality: Number.isNaN(quality) ? 0 : quality }
    })
    .sort((a, b) => b.quality - a.quality || (a.text < b.text ? -1 : a.text > b.text ? 1 : 0))
    .map(({ text }) => text)
    .join(', ')
}
