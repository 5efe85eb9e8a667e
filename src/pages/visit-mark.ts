/** The description of the symbol under which a response carries its visit. Each copy of the package has its own. */
export const VISIT_MARK = 'fragcache.visit'

/** Whether a response cache of any copy of the package handles a response. */
export function isKeptAround(res: object): boolean {
  return Object.getOwnPropertySymbols(res).some(({ description }) => description === VISIT_MARK)
}
