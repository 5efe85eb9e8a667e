/** What is replaced in one file of `dist`; `find` stands there exactly once. */
export interface Patch {
  readonly file: string
  readonly find: string
  readonly replace: string
}

/** By point. */
export const PLANTS: Readonly<Record<number, readonly Patch[]>>

/** @throws Error: what is to be replaced is not there exactly once. */
export function patched(code: string, patch: Pick<Patch, 'find' | 'replace'>): string
