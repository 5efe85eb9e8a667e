import { didYouMean } from '../../did-you-mean.js'
import { InvalidCacheBackendError, show, showAddress } from '../../errors.js'

/** Where a server listens and as whom to speak to it, in the words of the client library. */
export interface Endpoint {
  readonly host?: string
  readonly port?: number
  /** A unix socket. */
  readonly path?: string
  readonly username?: string
  readonly password?: string
  readonly db?: number
  readonly tls?: object
}

const EXAMPLE = 'redis://user:password@host:6379/0'
const TCP_SCHEMES = ['redis:', 'rediss:']
const SOCKET_SCHEMES = ['unix:', 'redis+unix:', 'redis+socket:']

/** What others take from the parameters of a URL. */
const NO_PARAMETERS = {
  timeout: 'a setting',
  keyPrefix: 'a setting',
  timeLimitMs: 'in "options"',
  family: 'in "options"',
  tls: 'the scheme "rediss:"',
  username: 'in front of the host',
  password: 'in front of the host',
}

/**
 * Reads a location: a URL, several in a list, or several in a text split by `,` or `;`.
 *
 * @returns The leader first, then its replicas.
 * @throws InvalidCacheBackendError: it names no server. Passwords are not shown.
 */
export function parseLocation(location: unknown): readonly Endpoint[] {
  const parts: readonly unknown[] = Array.isArray(location)
    ? (location as unknown[])
    : typeof location === 'string'
      ? location.split(/[,;]/).map((part) => part.trim())
      : [location]
  if (parts.length === 0) throw refusal('location', 'the list is empty')
  return parts.map((part, i) =>
    parseOne(part, parts.length === 1 ? 'location' : `location (${i + 1})`),
  )
}

function parseOne(text: unknown, name: string): Endpoint {
  if (typeof text !== 'string') throw refusal(name, `${show(text)} is not a URL`)
  if (text === '') throw refusal(name, 'it is empty')
  if (text.startsWith('/')) return { path: text }
  let url: URL
  try {
    // Credentials without a host, as of a socket, are no URL to the standard.
    url = new URL(text.replace(/^([a-z+]+:\/\/[^/?#]*@)(?=[/?#]|$)/i, '$1localhost'))
  } catch {
    throw refusal(name, `${showAddress(text)} is not a URL`)
  }
  const shown = showAddress(text)
  const isSocket = SOCKET_SCHEMES.includes(url.protocol)
  if (!isSocket && !TCP_SCHEMES.includes(url.protocol)) {
    throw refusal(name, `${shown} has an unknown scheme`)
  }
  if (url.hash !== '') throw refusal(name, `${shown} has a #; write it as %23`)
  const query = readQuery(url, name, shown)
  const endpoint = {
    ...credentialsOf(url, name, shown),
    ...dbOf(url, query, isSocket, name, shown),
  }
  if (isSocket) {
    const path = decode(url.pathname, name, shown)
    if (path === '' || !['', 'localhost'].includes(url.hostname)) {
      throw refusal(name, `${shown} names no absolute path`)
    }
    return { ...endpoint, path }
  }
  const host = decode(url.hostname.replace(/^\[(.*)\]$/, '$1'), name, shown)
  return {
    ...endpoint,
    host: host === '' ? 'localhost' : host,
    port: url.port === '' ? 6379 : Number(url.port),
    ...(url.protocol === 'rediss:' && { tls: {} }),
  }
}

function credentialsOf(url: URL, name: string, shown: string) {
  return {
    ...(url.username !== '' && { username: decode(url.username, name, shown) }),
    ...(url.password !== '' && { password: decode(url.password, name, shown) }),
  }
}

function readQuery(url: URL, name: string, shown: string): string | undefined {
  for (const parameter of url.searchParams.keys()) {
    if (parameter === 'db') continue
    const hint = didYouMean(parameter, ['db'], NO_PARAMETERS)
    throw refusal(
      name,
      `${shown} has an unknown parameter ${show(parameter)}; only db is known`,
      hint,
    )
  }
  const given = url.searchParams.getAll('db')
  if (given.length > 1) throw refusal(name, `${shown} names the db more than once`)
  return given[0]
}

function dbOf(
  url: URL,
  query: string | undefined,
  isSocket: boolean,
  name: string,
  shown: string,
): { readonly db?: number } {
  const fromPath = isSocket ? '' : url.pathname.replace(/^\//, '')
  if (query !== undefined && fromPath !== '') {
    throw refusal(name, `${shown} names the db more than once`)
  }
  const text = query ?? fromPath
  if (text === '') return {}
  if (!/^\d{1,9}$/.test(text)) throw refusal(name, `${shown}: ${show(text)} is not a db number`)
  return { db: Number(text) }
}

function decode(text: string, name: string, shown: string): string {
  try {
    return decodeURIComponent(text)
  } catch {
    throw refusal(name, `${shown} has a % that is not an escape; write it as %25`)
  }
}

/** @param hint - Advice that ends the message. */
function refusal(name: string, fault: string, hint = ''): InvalidCacheBackendError {
  return new InvalidCacheBackendError(
    `RedisCache: ${name}: ${fault}; give a URL such as "${EXAMPLE}", "rediss://host" for TLS or "unix:///run/redis.sock?db=1"${hint}`,
  )
}

/** What an error calls a server: no credentials. */
export function describeEndpoint({ host, port, path }: Endpoint): string {
  return path ?? `${host ?? 'localhost'}:${port ?? 6379}`
}
