import { FragcacheError } from './errors.js'

/**
 * The error for a subpath whose engine or client library is not there.
 *
 * @param subpath - What was imported, such as `fragcache/nunjucks`.
 * @param packageName - The package to install.
 * @returns An error with the code `FRAGCACHE_MISSING_PEER`, to be thrown by the caller.
 */
export function missingPeer(subpath: string, packageName: string): FragcacheError {
  return new FragcacheError(
    'FRAGCACHE_MISSING_PEER',
    `${subpath} needs the package "${packageName}": npm install ${packageName}`,
  )
}
