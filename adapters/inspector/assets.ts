import { readFileSync } from 'node:fs'

/**
 * Returns a script or a style sheet, read if the sources run as they are. The build replaces this module with
 * one that contains all of them, so that the package reads no file: in an application's bundle there would be
 * none.
 *
 * @param path - From this folder.
 */
export function readAsset(path: string): string {
  return readFileSync(new URL(path, import.meta.url), 'utf8')
}
