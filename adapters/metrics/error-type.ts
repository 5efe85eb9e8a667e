/**
 * What kind of error it is: the code of one of ours or of Node's, else `_OTHER`, so that the number of
 * kinds is bounded.
 *
 * @see OpenTelemetry, semantic conventions, attribute `error.type`
 */
export function errorType(error: unknown): string {
  if (typeof error !== 'object' || error === null) return '_OTHER'
  const { code } = error as { readonly code?: unknown }
  return typeof code === 'string' && /^(?:FRAGCACHE_[A-Z_]+|E[A-Z]{2,20})$/.test(code)
    ? code
    : '_OTHER'
}
