import { borders, landRoute, shortestRoutes } from './borders.mjs'
import { countries } from './countries.mjs'

/** The countries with the largest area. */
export function largest(count) {
  return countries.toSorted((a, b) => b.area - a.area).slice(0, count)
}

/** The countries with the most neighbours. */
export function mostNeighbours(count) {
  return countries
    .map((country) => ({ country, neighbours: borders.get(country.cca3)?.size ?? 0 }))
    .sort((a, b) => b.neighbours - a.neighbours || (a.country.cca3 < b.country.cca3 ? -1 : 1))
    .slice(0, count)
}

/** The longest of all shortest land routes: every pair of countries is looked at. */
export function longestRoute() {
  let longest = { from: '', to: '', km: 0 }
  for (const from of borders.keys()) {
    for (const [to, { km }] of shortestRoutes(from)) {
      if (km > longest.km) longest = { from, to, km }
    }
  }
  return landRoute(longest.from, longest.to)
}

/** Countries grouped by what can be reached over land, the largest group first. */
export function landMasses() {
  const seen = new Set()
  const masses = []
  for (const code of borders.keys()) {
    if (seen.has(code)) continue
    const mass = [...shortestRoutes(code).keys()]
    for (const member of mass) seen.add(member)
    masses.push(mass)
  }
  return masses.sort((a, b) => b.length - a.length)
}

/** Landlocked countries whose neighbours are all landlocked too. */
export function doublyLandlocked() {
  const landlocked = new Set(countries.filter((c) => c.landlocked).map((c) => c.cca3))
  return countries.filter((country) => {
    const neighbours = [...(borders.get(country.cca3)?.keys() ?? [])]
    return country.landlocked && neighbours.every((code) => landlocked.has(code))
  })
}

/** The languages that are official in the most countries. */
export function commonLanguages(count) {
  /** @type {Map<string, { code: string, name: string, countries: number }>} */
  const tally = new Map()
  for (const country of countries) {
    for (const [code, name] of Object.entries(country.languages)) {
      const entry = tally.get(code) ?? { code, name, countries: 0 }
      entry.countries += 1
      tally.set(code, entry)
    }
  }
  return [...tally.values()]
    .sort((a, b) => b.countries - a.countries || (a.code < b.code ? -1 : 1))
    .slice(0, count)
}
