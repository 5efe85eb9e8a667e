import type { ServerResponse } from 'node:http'
import { hasDirective, parseCacheControl } from '../../src/http/cache-control.js'
import { compressBody } from '../../src/http/compress-body.js'
import { isCompressible } from '../../src/http/content-coding.js'
import { headerOf, headerText, type HeaderFields } from '../../src/http/header-values.js'
import { fieldsOf, type StoredHeader } from '../../src/http/stored-response.js'
import { parseVary } from '../../src/http/vary.js'
import type { Settings } from './settings.js'
import type { NewPage } from '../../src/pages/page.js'

/** Compressing a smaller body saves less than one packet. */
const MIN_COMPRESSED_BYTES = 1024

/** Whether a response will also be stored compressed. */
export function isPrecompressed(res: ServerResponse, { precompress }: Settings): boolean {
  if (precompress.length === 0 || res.hasHeader('Content-Encoding')) return false
  const headers = res.getHeaders() as HeaderFields
  // RFC 9110 §7.7
  if (hasDirective(parseCacheControl(headerOf(headers, 'cache-control')), 'no-transform')) {
    return false
  }
  return isCompressible(headerText(headers, 'content-type'))
}

/**
 * The body in the codings of the option `precompress`, as far as they make it smaller.
 *
 * @param headers - As they were sent: they say whether later answers may be compressed.
 */
export async function compressCopies(
  body: readonly Buffer[],
  headers: readonly StoredHeader[],
  { precompress }: Settings,
): Promise<NonNullable<NewPage['encoded']>> {
  if (precompress.length === 0) return []
  const fields = fieldsOf({ headers })
  if (fields['content-encoding'] !== undefined || !namesEncoding(fields)) return []
  const whole = Buffer.concat(body)
  if (whole.length < MIN_COMPRESSED_BYTES) return []
  const compressed = await Promise.all(
    precompress.map(async (coding) => [coding, await compressBody(coding, whole)] as const),
  )
  return compressed.filter(([, one]) => one.length < whole.length)
}

function namesEncoding(fields: HeaderFields): boolean {
  return parseVary(fields['vary']).names.includes('accept-encoding')
}
