import { describe, expect, it } from 'vitest'
import { atlas, type Visit } from './atlas.js'

const { countries, countryOf, regions, sortedByName } = await atlas('data/countries.mjs')
const { languageOf, languages, nameIn } = await atlas('data/languages.mjs')
const { distanceKm, nearestCapitals } = await atlas('data/distance.mjs')
const { borders, landRoute } = await atlas('data/borders.mjs')
const { doublyLandlocked, landMasses, longestRoute } = await atlas('data/statistics.mjs')
const { countryMap } = await atlas('data/map.mjs')
const { faultsOf } = await atlas('compare.mjs')
const { createNotes } = await atlas('notes.mjs')

describe('the border graph of Atlas', () => {
  it('leads from France to Portugal by Spain', () => {
    expect(landRoute('FRA', 'PRT')?.codes).toEqual(['FRA', 'ESP', 'PRT'])
  })

  it('leads the same way back', () => {
    for (const [from, to] of [
      ['FRA', 'PRT'],
      ['NOR', 'ZAF'],
      ['CAN', 'PAN'],
      ['KOR', 'ESP'],
    ] as const) {
      const there = landRoute(from, to)
      const back = landRoute(to, from)
      expect(back?.codes).toEqual(there?.codes.toReversed())
      expect(back?.km).toBeCloseTo(there?.km ?? Number.NaN, 6)
    }
  })

  it('has no route from, to or between islands', () => {
    expect(landRoute('ISL', 'FRA')).toBeUndefined()
    expect(landRoute('FRA', 'ISL')).toBeUndefined()
    expect(landRoute('MDG', 'CUB')).toBeUndefined()
  })

  it('has a route of nothing from a country to itself', () => {
    expect(landRoute('ISL', 'ISL')).toEqual({ codes: ['ISL'], km: 0 })
  })

  it('prefers the shorter way to the one with fewer borders', () => {
    const route = landRoute('NOR', 'CHN')
    // Norway and Russia touch, and so do Russia and China.
    expect(route?.codes).toEqual(['NOR', 'RUS', 'CHN'])
    const [a, b, c] = ['NOR', 'RUS', 'CHN'].map((code) => countryOf(code).latlng)
    expect(route?.km).toBeCloseTo(distanceKm(a!, b!) + distanceKm(b!, c!), 6)
  })

  it('is symmetric, even where the data is not', () => {
    expect(countryOf('LKA').borders).toContain('IND')
    expect(borders.get('LKA')?.has('IND')).toBe(false)
    for (const [code, neighbours] of borders) {
      for (const [neighbour, km] of neighbours) {
        expect(borders.get(neighbour)?.get(code)).toBeCloseTo(km, 6)
      }
    }
  })

  it('never gives a route longer than one that goes by a third country', () => {
    const codes = ['FRA', 'ESP', 'DEU', 'POL', 'TUR', 'EGY', 'IND', 'CHN']
    for (const a of codes) {
      for (const b of codes) {
        for (const c of codes) {
          const direct = landRoute(a, b)?.km ?? Number.NaN
          const around = (landRoute(a, c)?.km ?? 0) + (landRoute(c, b)?.km ?? 0)
          expect(direct).toBeLessThanOrEqual(around + 1e-6)
        }
      }
    }
  })
})

describe('distances in Atlas', () => {
  it('are great circles', () => {
    // A quarter of a meridian, by the mean radius of the earth.
    expect(distanceKm([0, 0], [90, 0])).toBeCloseTo((Math.PI / 2) * 6371.0088, 6)
    expect(distanceKm([0, 179], [0, -179])).toBeCloseTo(distanceKm([0, 0], [0, 2]), 6)
    expect(distanceKm([51.5, -0.1], [51.5, -0.1])).toBe(0)
  })

  it('find the capitals nearest to a country, nearest first', () => {
    const nearest = nearestCapitals(countryOf('LSO'), 8)
    expect(nearest.map(({ country }) => country.cca3).slice(0, 2)).toEqual(['ZAF', 'SWZ'])
    expect(nearest.map(({ km }) => km)).toEqual(
      nearest.map(({ km }) => km).toSorted((a, b) => a - b),
    )
    expect(nearest.every(({ country }) => country.cca3 !== 'LSO' && country.capital[0])).toBe(true)
  })
})

describe('countries in Atlas', () => {
  it('are 250, each in one region', () => {
    expect(countries).toHaveLength(250)
    const members = regions.flatMap((region) => region.members.map(({ cca3 }) => cca3))
    expect(members.toSorted()).toEqual(countries.map(({ cca3 }) => cca3).toSorted())
  })

  it('have a name in every language', () => {
    for (const country of countries) {
      for (const { tag } of languages) expect(nameIn(country, tag)).not.toBe('')
    }
    const germany = countryOf('DEU')
    expect(['en', 'fr', 'de', 'ja'].map((lang) => nameIn(germany, lang))).toEqual([
      'Germany',
      'Allemagne',
      'Deutschland',
      'ドイツ',
    ])
  })

  it('stand in the order of the language', () => {
    const two = [countryOf('ZMB'), countryOf('AUT')]
    const order = (lang: string) => sortedByName(two, lang).map(({ name }) => name)
    expect(order('de')).toEqual(['Österreich', 'Sambia'])
    expect(order('et')).toEqual(['Austria', 'Sambia'])
  })

  it('are named in English when a language is unknown', () => {
    expect([undefined, 'xx', ['de'], 'constructor'].map((tag) => languageOf(tag).tag)).toEqual([
      'en',
      'en',
      'en',
      'en',
    ])
  })
})

describe('statistics of Atlas', () => {
  it('know the two countries that are landlocked by landlocked ones', () => {
    expect(doublyLandlocked().map(({ cca3 }) => cca3)).toEqual(['LIE', 'UZB'])
  })

  it('put every country into one group connected by land', () => {
    const masses = landMasses()
    expect(masses.flat().toSorted()).toEqual(countries.map(({ cca3 }) => cca3).toSorted())
    expect(masses.find((mass) => mass.includes('FRA'))).toContain('ZAF')
    expect(masses.find((mass) => mass.includes('ISL'))).toEqual(['ISL'])
  })

  it('find a route that none is longer than', () => {
    const longest = longestRoute()
    expect(landRoute(longest.codes[0]!, longest.codes.at(-1)!)?.km).toBe(longest.km)
    for (const [from, to] of [
      ['PRT', 'MYS'],
      ['ZAF', 'KOR'],
      ['CAN', 'ARG'],
    ] as const) {
      expect(landRoute(from, to)?.km).toBeLessThan(longest.km)
    }
  })
})

describe('maps of Atlas', () => {
  it('show a country among its neighbours', () => {
    const { shapes, speck } = countryMap('FRA')
    const kinds = (kind: string) => shapes.filter((shape) => shape.kind === kind)
    expect(kinds('here')).toHaveLength(1)
    expect(kinds('neighbour').length).toBeGreaterThanOrEqual(6)
    expect(speck).toBe(false)
  })

  it('put a ring around a country that is too small to see', () => {
    expect(countryMap('VAT').speck).toBe(true)
  })

  it('are made of numbers and drawing commands only', () => {
    for (const code of ['FJI', 'RUS', 'ATA', 'UNK']) {
      for (const { path } of countryMap(code).shapes) expect(path).toMatch(/^[Mlz\d -]+$/)
    }
  })
})

describe('notes of Atlas', () => {
  it('are one line of at most 280 characters', () => {
    const notes = createNotes()
    notes.set('FRA', ` two\n\tlines ${'🗺'.repeat(400)}`)
    expect(notes.get('FRA')).toBe(`two lines ${'🗺'.repeat(270)}`)
    notes.set('FRA', undefined)
    expect(notes.get('FRA')).toBe('')
  })
})

describe('the comparison of a cold and a warm page of Atlas', () => {
  const page = (change: Partial<Visit['account']> & { body?: string; status?: number }): Visit => ({
    status: change.status ?? 200,
    body: Buffer.from(change.body ?? 'page'),
    account: { fragments: [], bodies: [], response: undefined, ...change },
  })
  const cold = page({
    bodies: [['card', 'FRA', 'en']],
    fragments: [{ name: 'card', outcome: 'miss' }],
  })
  const hit = { fragments: [{ name: 'card', outcome: 'hit' }] }
  const faults = (warm: Visit, first = cold) => [...faultsOf(first, warm)]

  it('finds nothing wrong with hits that give the same bytes', () => {
    expect(faults(page(hit))).toEqual([])
    expect(faults(page({ response: { outcome: 'hit' } }))).toEqual([])
  })

  it('finds a body that ran, by our own count and by what the library says', () => {
    expect(faults(page({ ...hit, bodies: [['card', 'FRA', 'en']] }))).toEqual([
      'the warm page ran card FRA en',
    ])
    expect(faults(page({ fragments: [{ name: 'card', outcome: 'miss' }] }))).toEqual([
      'the warm page has the fragment card as miss',
    ])
    expect(faults(page({}))).toEqual(['the warm page had no hit'])
  })

  it('finds another byte or status, and pages that prove nothing', () => {
    expect(faults(page({ ...hit, body: 'pagé' }))).toEqual(['the warm page is not the cold page'])
    expect(faults(page({ ...hit, status: 404 }))).toEqual(['status 200 cold, 404 warm'])
    expect(faults(page(hit), page(hit))).toEqual(['the cold page ran no body'])
    expect(faults(page({ ...hit, status: 500 }), { ...cold, status: 500 })).toEqual(['status 500'])
  })
})
