/** What the symbol is called under which a response carries the one who keeps it: each copy of the package has its own. */
export const VISIT_MARK = 'fragcache.visit'

/** Whether a middleware or a listener, of any copy of the package, has begun to keep a response. */
export function isKeptAround(res: object): boolean {
  return Object.getOwnPropertySymbols(res).some(({ description }) => description === VISIT_MARK)
}
