import { readFileSync } from 'node:fs'
import { createRequire } from 'node:module'
import { neighboursOf } from './borders.mjs'
import { countries, countryOf } from './countries.mjs'
import { distanceKm } from './distance.mjs'

const require = createRequire(import.meta.url)

// Units of the drawings, which are about as wide as their pictures on a screen are in pixels.
/** Points closer than this to the one before are left out. */
const DETAIL = 1.6
/** Islands smaller than this are left out. */
const ISLET = 1
/** How far outlines go on outside of the picture. */
const MARGIN = 40
/** A country smaller than this gets a ring around it. */
const SPECK = 9
/** Countries shown over the sea, beside the neighbours. */
const NEARBY = 8
/** Drawings are in tenths of a unit, so that whole numbers do. */
const FINE = 10

/**
 * The outlines of a country, read from its file each time: this is work a page wants to save.
 *
 * @param {string} code
 * @returns {[number, number][][]} Rings of longitude and latitude.
 */
function outlinesOf(code) {
  const file = require.resolve(`world-countries/data/${code.toLowerCase()}.geo.json`)
  const { features } = JSON.parse(readFileSync(file, 'utf8'))
  return features.flatMap(({ geometry }) => {
    if (geometry?.type === 'Polygon') return geometry.coordinates
    return geometry?.type === 'MultiPolygon' ? geometry.coordinates.flat() : []
  })
}

/** An SVG path of those rings that are in view, without the detail that nobody could see. */
function pathOf(rings, project, width, height) {
  let path = ''
  for (const ring of rings) {
    let [left, right, top, bottom] = [Infinity, -Infinity, Infinity, -Infinity]
    const kept = []
    for (const point of ring) {
      const [x, y] = project(point)
      left = Math.min(left, x)
      right = Math.max(right, x)
      top = Math.min(top, y)
      bottom = Math.max(bottom, y)
      // Outside of the picture many points fall together on its margin and are left out too.
      const drawn = [clamp(x, width), clamp(y, height)]
      const last = kept.at(-1)
      if (last && Math.hypot(drawn[0] - last[0], drawn[1] - last[1]) < DETAIL) continue
      kept.push(drawn)
    }
    const isInView = right >= 0 && left <= width && bottom >= 0 && top <= height
    const isIslet = right - left < ISLET && bottom - top < ISLET && rings.length > 1
    if (isInView && !isIslet && kept.length >= 3) path += stroke(kept)
  }
  return path
}

/** A closed line in SVG's relative commands: half the bytes of absolute ones. */
function stroke(points) {
  const whole = points.map(([x, y]) => [Math.round(x * FINE), Math.round(y * FINE)])
  const steps = whole.slice(1).map(([x, y], i) => `l${x - whole[i][0]} ${y - whole[i][1]}`)
  return `M${whole[0].join(' ')}${steps.join('')}z`.replaceAll(' -', '-')
}

const clamp = (n, max) => Math.min(Math.max(n, -MARGIN), max + MARGIN)

/** Longitude as seen from another one, so that the date line cuts no country in two. */
const eastOf = (lng, centre) => ((lng - centre + 540) % 360) - 180

/**
 * A map of one country among those around it.
 *
 * @param {string} code
 * @returns What the drawing is made of; its numbers are its own, so it needs no escaping.
 */
export function countryMap(code) {
  const width = 640
  const height = 400
  const country = countryOf(code)
  const [lat0, lng0] = country.latlng
  const squeeze = Math.cos((Math.min(Math.abs(lat0), 80) * Math.PI) / 180)
  const own = outlinesOf(code)
  const flat = ([lng, lat]) => [eastOf(lng, lng0) * squeeze, -lat]
  const points = own.flat().map(flat)
  if (points.length === 0) points.push(flat([lng0, lat0]))
  const [left, right] = extent(points.map(([x]) => x))
  const [top, bottom] = extent(points.map(([, y]) => y))
  const scale =
    Math.min(width / Math.max(right - left, 2), height / Math.max(bottom - top, 2)) * 0.8
  const project = (point) => {
    const [x, y] = flat(point)
    return [
      width / 2 + (x - (left + right) / 2) * scale,
      height / 2 + (y - (top + bottom) / 2) * scale,
    ]
  }
  const neighbours = neighboursOf(code)
  const others = around(country, neighbours).map((other) => ({
    path: pathOf(outlinesOf(other), project, width, height),
    kind: neighbours.includes(other) ? 'neighbour' : 'land',
  }))
  const here = { path: pathOf(own, project, width, height), kind: 'here' }
  const [x, y] = project([lng0, lat0]).map((n) => Math.round(n * FINE))
  return {
    viewBox: viewBox(width, height),
    shapes: [...others, here].filter(({ path }) => path !== ''),
    speck: here.path === '' || Math.max(right - left, bottom - top) * scale < SPECK,
    x,
    y,
  }
}

/** A map of the whole world. */
export function worldMap() {
  const width = 960
  const height = 400
  const project = ([lng, lat]) => [((lng + 180) / 360) * width, ((84 - lat) / 144) * height]
  const shapes = countries
    .filter((country) => country.region !== 'Antarctic')
    .map((country) => ({
      path: pathOf(outlinesOf(country.cca3), project, width, height),
      kind: country.region.toLowerCase(),
    }))
  return { viewBox: viewBox(width, height), shapes: shapes.filter(({ path }) => path !== '') }
}

/** The neighbours, and the countries nearest by, which may be over the sea. */
function around(country, neighbours) {
  const near = countries
    .filter((other) => other !== country)
    .map((other) => ({ code: other.cca3, km: distanceKm(country.latlng, other.latlng) }))
    .sort((a, b) => a.km - b.km)
    .slice(0, NEARBY)
    .map(({ code }) => code)
  return [...new Set([...neighbours, ...near])].sort()
}

const viewBox = (width, height) => `0 0 ${width * FINE} ${height * FINE}`

function extent(numbers) {
  return [Math.min(...numbers), Math.max(...numbers)]
}
