import { readFileSync } from 'node:fs'

/**
 * Gives a script or a style sheet, read where the sources run as they are. The build puts a module that holds
 * all of them in the place of this one, so that the package reads no file: in an application's bundle there
 * would be none.
 *
 * @param path - From this folder.
 */
export function readAsset(path: string): string {
  return readFileSync(new URL(path, import.meta.url), 'utf8')
}
