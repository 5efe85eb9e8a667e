import { createRequire } from 'node:module'

/**
 * The version of this package, read if the sources run as they are. The build replaces this module with a
 * constant, so that the package finds it in an application's bundle too.
 */
export function packageVersion(): string {
  const load = createRequire(import.meta.url)
  return (load('fragcache/package.json') as { readonly version: string }).version
}
