import { countries, findCountry } from './countries.mjs'
import { distanceKm } from './distance.mjs'

/**
 * The border graph: who can be reached by one crossing, and how far apart the two countries'
 * points are. Only borders that both sides have count; the data has one that has not.
 *
 * @type {ReadonlyMap<string, ReadonlyMap<string, number>>}
 */
export const borders = new Map(
  countries.map((country) => [
    country.cca3,
    new Map(
      country.borders
        .map((code) => findCountry(code))
        .filter((neighbour) => neighbour?.borders.includes(country.cca3))
        .map((neighbour) => [neighbour.cca3, distanceKm(country.latlng, neighbour.latlng)]),
    ),
  ]),
)

/** @param {string} code */
export function neighboursOf(code) {
  return [...(borders.get(code)?.keys() ?? [])].sort()
}

/**
 * The shortest way over land from one country to every other, by Dijkstra's algorithm.
 *
 * @param {string} start - A country's code.
 * @returns For each country that can be reached: the kilometres and the country before it.
 */
export function shortestRoutes(start) {
  /** @type {Map<string, { km: number, before: string | undefined }>} */
  const best = new Map([[start, { km: 0, before: undefined }]])
  const open = new Set([start])
  while (open.size > 0) {
    let nearest = ''
    for (const code of open) {
      if (nearest === '' || best.get(code).km < best.get(nearest).km) nearest = code
    }
    open.delete(nearest)
    const { km } = best.get(nearest)
    for (const [code, step] of borders.get(nearest) ?? []) {
      const known = best.get(code)
      if (known !== undefined && known.km <= km + step) continue
      best.set(code, { km: km + step, before: nearest })
      open.add(code)
    }
  }
  return best
}

/**
 * The shortest land route between two countries.
 *
 * @param {string} from - A country's code.
 * @param {string} to - A country's code.
 * @returns {{ codes: string[], km: number } | undefined} The countries passed, both ends included;
 *   `undefined` when there is water between them.
 */
export function landRoute(from, to) {
  const routes = shortestRoutes(from)
  const end = routes.get(to)
  if (end === undefined) return undefined
  const codes = []
  for (let code = to; code !== undefined; code = routes.get(code)?.before) codes.unshift(code)
  return { codes, km: end.km }
}
