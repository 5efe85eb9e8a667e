/** The project's folder. */
export const root: string

/** Puts `fresh` in the place of `target`; what was there goes to `old` and is removed. */
export function replaceFolder(fresh: string, target: string, old: string): Promise<void>

/** Makes dist/ unless it is there and made from exactly these sources. */
export function build(options?: { readonly force?: boolean }): Promise<void>
