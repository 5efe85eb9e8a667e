import { countries } from './countries.mjs'

const EARTH_RADIUS_KM = 6371.0088

/**
 * The great-circle distance of two points, by the haversine formula.
 *
 * @param {readonly [number, number]} a - Latitude and longitude in degrees.
 * @param {readonly [number, number]} b - The same.
 * @returns {number} Kilometres.
 */
export function distanceKm(a, b) {
  const radians = Math.PI / 180
  const dLat = (b[0] - a[0]) * radians
  const dLng = (b[1] - a[1]) * radians
  const h =
    Math.sin(dLat / 2) ** 2 +
    Math.cos(a[0] * radians) * Math.cos(b[0] * radians) * Math.sin(dLng / 2) ** 2
  return 2 * EARTH_RADIUS_KM * Math.asin(Math.min(1, Math.sqrt(h)))
}

/**
 * The countries with a capital that lie nearest to one. The data has one point per country, not
 * per capital, so that is what is measured.
 *
 * @param {import('world-countries').Country} from
 * @param {number} count
 */
export function nearestCapitals(from, count) {
  return countries
    .filter((country) => country !== from && country.capital[0])
    .map((country) => ({ country, km: distanceKm(from.latlng, country.latlng) }))
    .sort((a, b) => a.km - b.km || (a.country.cca3 < b.country.cca3 ? -1 : 1))
    .slice(0, count)
}
