/** The server understood, or misunderstood, a command and answered with an error. It is alive. */
export class MemcachedReplyError extends Error {
  override readonly name = 'MemcachedReplyError'
}

/** A server that cannot be reached, does not answer, or does not speak the protocol. */
export class MemcachedConnectionError extends Error {
  override readonly name = 'MemcachedConnectionError'
}

/** A failure of the connection to a server, with the server's name in front. */
export function connectionError(server: string, cause: unknown): MemcachedConnectionError {
  if (cause instanceof MemcachedConnectionError) return cause
  const message = cause instanceof Error ? cause.message : String(cause)
  return new MemcachedConnectionError(`${server}: ${message}`, { cause })
}
