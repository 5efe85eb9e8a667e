import { readFileSync } from 'node:fs'

/**
 * Reads a script or a style sheet, which are published as they are.
 *
 * @param path - From this folder. In the built package it is the folder of the entry, which this module is
 *   a part of there.
 */
export function readAsset(path: string): string {
  return readFileSync(new URL(path, import.meta.url), 'utf8')
}
