import { createRequire } from 'node:module'
import { nameIn } from './languages.mjs'

// By require, because a JSON import needs an attribute that not every supported Node spells alike.
const require = createRequire(import.meta.url)

/** @typedef {import('world-countries').Country} Country */

/** @type {readonly Country[]} All 250 countries and territories of the data set. */
export const countries = require('world-countries')

const byCode = new Map(countries.map((country) => [country.cca3, country]))

/**
 * @param {string} code - ISO 3166-1 alpha-3, upper case.
 * @returns {Country | undefined}
 */
export function findCountry(code) {
  return byCode.get(code)
}

/**
 * @param {string} code - ISO 3166-1 alpha-3, upper case.
 * @returns {Country}
 * @throws {RangeError} No country has this code.
 */
export function countryOf(code) {
  const country = byCode.get(code)
  if (country === undefined) throw new RangeError(`No country has the code "${code}"`)
  return country
}

/** The regions as the data names them, in the order of the home page. */
export const regions = ['Africa', 'Americas', 'Asia', 'Europe', 'Oceania', 'Antarctic'].map(
  (name) => ({
    slug: name.toLowerCase(),
    name,
    members: countries.filter((country) => country.region === name),
  }),
)

/** @param {string} slug */
export function findRegion(slug) {
  return regions.find((region) => region.slug === slug)
}

/**
 * Countries in the alphabetical order of a language.
 *
 * @param {Iterable<Country>} list
 * @param {string} lang
 */
export function sortedByName(list, lang) {
  const { compare } = new Intl.Collator(lang)
  return Array.from(list, (country) => ({ country, name: nameIn(country, lang) })).sort((a, b) =>
    compare(a.name, b.name),
  )
}
