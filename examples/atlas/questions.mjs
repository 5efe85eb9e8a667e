import { dependOn } from 'fragcache'
import { borders, landRoute, neighboursOf } from './data/borders.mjs'
import { countries, countryOf, findRegion, sortedByName } from './data/countries.mjs'
import { distanceKm, nearestCapitals } from './data/distance.mjs'
import { directionOf, languageOf, languages, nameIn, officialNameIn } from './data/languages.mjs'
import { countryMap, worldMap } from './data/map.mjs'
import {
  commonLanguages,
  doublyLandlocked,
  landMasses,
  largest,
  longestRoute,
  mostNeighbours,
} from './data/statistics.mjs'
import { NOTE_LENGTH } from './notes.mjs'
import { counting } from './watch.mjs'

const number = new Intl.NumberFormat('en', { maximumFractionDigits: 0 })
const km = (distance) => `${number.format(distance)}\u00a0km`
const km2 = (area) => (area > 0 ? `${area < 10 ? area : number.format(area)}\u00a0km²` : '–')

/** What most lists show of a country. */
function brief(country, lang) {
  return { code: country.cca3, flag: country.flag, name: nameIn(country, lang) }
}

/**
 * What templates ask, each from inside the body of the fragment that has the name of the question:
 * when the fragment is a hit, its question is not asked. What a template needs outside of fragments
 * is in its context.
 *
 * @param {ReturnType<typeof import('./notes.mjs').createNotes>} notes
 * @param {ReturnType<typeof import('./visitors.mjs').createVisitors>} visitors
 */
export function createQuestions(notes, visitors) {
  return counting({
    world: () => worldMap(),
    map: (code) => countryMap(code),

    tile(slug, lang) {
      const { name, members } = findRegion(slug)
      const area = members.reduce((sum, country) => sum + Math.max(country.area, 0), 0)
      return {
        name,
        count: members.length,
        area: km2(area),
        countries: sortedByName(members, lang).map(({ country }) => brief(country, lang)),
      }
    },

    region(slug, lang) {
      const { members } = findRegion(slug)
      const names = [...new Set(members.map((country) => country.subregion))].sort()
      return names.map((name) => ({
        name: name || 'Around the South Pole',
        codes: sortedByName(
          members.filter((country) => country.subregion === name),
          lang,
        ).map(({ country }) => country.cca3),
      }))
    },

    card(code, lang) {
      const country = countryOf(code)
      return {
        ...brief(country, lang),
        capital: country.capital.filter(Boolean).join(', ') || 'no capital',
        area: km2(country.area),
        note: notes.get(code),
      }
    },

    facts: (code, lang) => facts(countryOf(code), lang),
    note: (code, lang, revision) => ({ text: notes.get(code), length: NOTE_LENGTH, revision }),
    neighbours: (code, lang) =>
      sortedByName(neighboursOf(code).map(countryOf), lang).map(({ country }) => country.cca3),

    // Its fragment names no tag: what it is made from says so itself.
    mention(code, lang) {
      dependOn([`country:${code}`])
      return { ...brief(countryOf(code), lang), note: notes.get(code) }
    },

    nearest: (code, lang) =>
      nearestCapitals(countryOf(code), 8).map(({ country, km: distance }) => ({
        ...brief(country, lang),
        capital: country.capital[0],
        distance: km(distance),
      })),

    names(code) {
      const country = countryOf(code)
      return languages.map(({ tag, name, dir }) => ({
        tag,
        dir,
        language: name,
        name: nameIn(country, tag),
      }))
    },

    route: (from, to, lang) => route(from, to, lang),
    options: (lang) => sortedByName(countries, lang).map(({ country }) => brief(country, lang)),
    records: (lang) => records(lang),

    greeting(id, lang) {
      const visitor = visitors.get(id)
      return {
        hello: languageOf(lang).hello,
        name: visitor?.name ?? '',
        count: visitor?.visited.size ?? 0,
      }
    },

    visited(id, lang) {
      const visited = [...(visitors.get(id)?.visited ?? [])].map((code) => countryOf(code))
      const area = visited.reduce((sum, country) => sum + Math.max(country.area, 0), 0)
      const world = countries.reduce((sum, country) => sum + Math.max(country.area, 0), 0)
      return {
        count: visited.length,
        share: `${((area / world) * 100).toFixed(1)} %`,
        countries: sortedByName(visited, lang).map(({ country }) => ({
          ...brief(country, lang),
          region: country.region,
          area: km2(country.area),
        })),
      }
    },
  })
}

function facts(country, lang) {
  const spoken = new Intl.DisplayNames(lang, { type: 'language' })
  const money = new Intl.DisplayNames(lang, { type: 'currency' })
  return [
    { label: 'Official name', value: officialNameIn(country, lang), lang },
    { label: 'Capital', value: country.capital.filter(Boolean).join(', ') },
    { label: 'Region', value: [country.region, country.subregion].filter(Boolean).join(', ') },
    { label: 'Area', value: km2(country.area) },
    {
      label: 'Languages',
      value: Object.keys(country.languages)
        .map((code) => inWords(spoken, code, country.languages[code]))
        .join(', '),
      lang,
    },
    {
      label: 'Money',
      value: Object.keys(country.currencies)
        .map((code) => `${inWords(money, code, country.currencies[code].name)} (${code})`)
        .join(', '),
      lang,
    },
    { label: 'Calling code', value: callingCodes(country.idd) },
    { label: 'Internet', value: country.tld.join(', ') },
    { label: 'Coast', value: country.landlocked ? 'landlocked' : 'by the sea' },
  ].filter(({ value }) => value !== '')
}

/** Some countries share a root and list their area codes after it; then the root has to do. */
function callingCodes({ root = '', suffixes = [] }) {
  return suffixes.length < 4 ? suffixes.map((suffix) => root + suffix).join(', ') : root
}

/** The name of a code in the visitor's language; codes that are not known there stay English. */
function inWords(names, code, english) {
  const name = names.of(code)
  return name === undefined || name === code ? english : name
}

function route(from, to, lang) {
  const start = brief(countryOf(from), lang)
  const end = brief(countryOf(to), lang)
  const found = landRoute(from, to)
  if (found === undefined) return { start, end, found: false }
  const stops = found.codes.map((code, index) => {
    const before = found.codes[index - 1]
    const step =
      before === undefined ? 0 : distanceKm(countryOf(before).latlng, countryOf(code).latlng)
    return { ...brief(countryOf(code), lang), step: index === 0 ? '' : km(step) }
  })
  return { start, end, found: true, stops, borders: stops.length - 1, distance: km(found.km) }
}

function records(lang) {
  const longest = longestRoute()
  const masses = landMasses()
  return {
    countries: countries.length,
    borders: [...borders.values()].reduce((sum, neighbours) => sum + neighbours.size, 0) / 2,
    landlocked: countries.filter((country) => country.landlocked).length,
    islands: masses.filter((mass) => mass.length === 1).length,
    doubly: doublyLandlocked().map((country) => brief(country, lang)),
    largest: largest(8).map((country) => ({ ...brief(country, lang), value: km2(country.area) })),
    neighbours: mostNeighbours(8).map(({ country, neighbours }) => ({
      ...brief(country, lang),
      value: neighbours,
    })),
    languages: commonLanguages(8).map(({ code, name, countries: count }) => ({
      name: inWords(new Intl.DisplayNames(lang, { type: 'language' }), code, name),
      dir: directionOf(lang),
      value: count,
    })),
    masses: masses.slice(0, 5).map((mass) => ({
      value: mass.length,
      largest: brief(largestOf(mass), lang),
    })),
    longest: {
      distance: km(longest.km),
      borders: longest.codes.length - 1,
      stops: longest.codes.map((code) => brief(countryOf(code), lang)),
    },
  }
}

function largestOf(codes) {
  return codes.map((code) => countryOf(code)).reduce((a, b) => (b.area > a.area ? b : a))
}
