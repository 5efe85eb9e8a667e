import { createRequire } from 'node:module'

/**
 * The version of this package, read where the sources run as they are. The build puts a constant in the place
 * of this module, so that the package finds it in an application's bundle too.
 */
export function packageVersion(): string {
  const load = createRequire(import.meta.url)
  return (load('fragcache/package.json') as { readonly version: string }).version
}
