import { InvalidCacheBackendError, show, showAddress } from '../../errors.js'

/** Where a server listens. */
export interface ServerLocation {
  /** How it is called in messages. */
  readonly name: string
  /** What its points on the ring are hashed from. */
  readonly ringName: string
  readonly target: { readonly host: string; readonly port: number } | { readonly path: string }
}

/** Memcached's port; libmemcached leaves it out when it places a server on the ring. */
const DEFAULT_PORT = 11211

/**
 * Reads the setting `location`: one server or several, as a list or split by `,` or `;`.
 *
 * @throws InvalidCacheBackendError: missing, or no address of a server, or one twice.
 */
export function parseLocations(location: unknown): readonly ServerLocation[] {
  const given: readonly unknown[] = Array.isArray(location) ? location : [location]
  const parts = given.flatMap((one) => (typeof one === 'string' ? one.split(/[,;]/) : [one]))
  if (parts.length === 0) throw fault(undefined)
  const servers = parts.map(parseLocation)
  const names = servers.map(({ name }) => name)
  const twice = names.find((name, i) => names.indexOf(name) !== i)
  if (twice === undefined) return servers
  throw new InvalidCacheBackendError(
    `MemcachedCache: location: ${show(twice)} is named twice; name each server once, and give it options.weights to get more keys`,
  )
}

function parseLocation(given: unknown): ServerLocation {
  if (typeof given !== 'string') throw fault(given)
  const text = given.trim()
  if (text.startsWith('unix:')) {
    const path = text.slice('unix:'.length)
    if (!path.startsWith('/') || path.includes('\0')) throw fault(given)
    // libmemcached knows a socket as a host with port 0.
    return { name: text, ringName: `${path}:0`, target: { path } }
  }
  const match = /^(?:\[([0-9a-f:.]+(?:%\w+)?)\]|([\w.-]+))(?::(\d{1,5}))?$/i.exec(text)
  const host = match?.[1] ?? match?.[2]
  const port = match?.[3] === undefined ? DEFAULT_PORT : Number(match[3])
  if (host === undefined || port < 1 || port > 65_535) throw fault(given)
  return {
    name: `${host.includes(':') ? `[${host}]` : host}:${port}`,
    ringName: port === DEFAULT_PORT ? host : `${host}:${port}`,
    target: { host, port },
  }
}

function fault(given: unknown): InvalidCacheBackendError {
  const what =
    given === undefined ? 'it is missing' : `${showAddress(given)} is not a server address`
  return new InvalidCacheBackendError(
    `MemcachedCache: location: ${what}; give "host:port" or "unix:/path", or several of them as a list or split by "," or ";"`,
  )
}
