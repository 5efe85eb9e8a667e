import { MisuseError, show } from '../../src/errors.js'
import { absoluteUri } from '../../src/http/page-key.js'

/** Options of `invalidate`. */
export interface InvalidateOptions {
  /**
   * Only the variant of requests with these headers; those that are left out are absent. Default:
   * every variant.
   */
  readonly vary?: Readonly<Record<string, string>> | undefined
  /** With `vary`: the language that is part of the key. */
  readonly language?: string | undefined
  /** With `vary`: the time zone that is part of the key. */
  readonly timeZone?: string | undefined
}

const INVALIDATE_OPTIONS = ['vary', 'language', 'timeZone']

/** @throws TypeError: an option is unknown or of the wrong kind. */
export function checkInvalidateOptions(options: unknown): {
  readonly vary: Readonly<Record<string, string>> | undefined
  readonly language: string | undefined
  readonly timeZone: string | undefined
} {
  if (typeof options !== 'object' || options === null) {
    throw new MisuseError(`invalidate: ${show(options)} are no options; give an object`)
  }
  for (const name of Object.keys(options)) {
    if (INVALIDATE_OPTIONS.includes(name)) continue
    throw new MisuseError(
      `invalidate: unknown option ${show(name)}; known options are ${INVALIDATE_OPTIONS.join(', ')}`,
    )
  }
  const { vary, language, timeZone } = options as InvalidateOptions
  for (const [name, value] of Object.entries({ language, timeZone })) {
    if (value === undefined || typeof value === 'string') continue
    throw new MisuseError(`invalidate: ${name}: ${show(value)} is not a text`)
  }
  if (vary === undefined) return { vary, language, timeZone }
  if (typeof vary !== 'object' || (vary as unknown) === null || Array.isArray(vary)) {
    throw new MisuseError(
      `invalidate: vary: ${show(vary)} is not an object such as { 'Accept-Language': 'de' }`,
    )
  }
  const headers = Object.create(null) as Record<string, string>
  for (const [name, value] of Object.entries(vary)) {
    if (typeof value !== 'string') {
      throw new MisuseError(`invalidate: vary: ${name}: ${show(value)} is not a text`)
    }
    headers[name.toLowerCase()] = value
  }
  return { vary: headers, language, timeZone }
}

/** @throws TypeError: not an absolute http or https URL. */
export function toAbsoluteUri(url: unknown): string {
  const text = url instanceof URL ? url.href : url
  if (typeof text === 'string') {
    const parts = /^(https?):\/\/([^/?#]*)([^#]*)/i.exec(text)
    const [, protocol = '', host, target = ''] = parts ?? []
    const path = target.startsWith('/') ? target : `/${target}`
    const uri = absoluteUri(protocol.toLowerCase(), host, path)
    if (uri !== undefined) return uri
  }
  throw new MisuseError(
    `invalidate: ${show(text)} is no absolute URL; give one such as https://example.com/news`,
  )
}
