import { FragcacheError } from './errors.js'

/**
 * The error for a subpath whose engine or client library is not there.
 *
 * @param subpath - What was imported, such as `fragcache/nunjucks`.
 * @param packageName - The package to install.
 * @param otherwise - What else would do.
 * @returns An error with the code `FRAGCACHE_MISSING_PEER`, to be thrown by the caller.
 */
export function missingPeer(subpath: string, packageName: string, otherwise = ''): FragcacheError {
  return new FragcacheError(
    'FRAGCACHE_MISSING_PEER',
    `${subpath} needs the package "${packageName}": npm install ${packageName}${otherwise}`,
  )
}

/**
 * Whether a package could not be loaded since it is not there. The error is that of Node, or of the bundler that
 * did not find it either: webpack takes over the words of Node, Vite has words of its own, and ncc leaves a `require`,
 * which an ES module has not.
 */
export function isMissing(error: unknown, packageName: string): boolean {
  const message = String((error as { readonly message?: unknown } | null)?.message)
  const [, name] =
    /^(?:Cannot find (?:module|package)|Could not resolve) ['"]([^'"]+)['"]/.exec(message) ?? []
  return name === packageName || message === 'require is not defined'
}
