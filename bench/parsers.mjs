/**
 * How what reads a header grows with the header's length: hostile values of 1, 2, 4 and 8 thousand
 * characters, which are those that are read of a list (8192). The figure is the exponent of the
 * growth, of the worst value of each: 1 is linear, 2 quadratic.
 */
import { parseCacheControl, storingRestriction } from '../dist/modules/src/http/cache-control.js'
import { evaluatePreconditions, isNotModified } from '../dist/modules/src/http/conditional.js'
import { chooseCoding, isCompressible } from '../dist/modules/src/http/content-coding.js'
import { explicitLifetimeSeconds, initialAgeSeconds } from '../dist/modules/src/http/freshness.js'
import { invalidatedUris } from '../dist/modules/src/http/invalidation.js'
import { absoluteUri } from '../dist/modules/src/http/page-key.js'
import { patchedCacheControl } from '../dist/modules/src/http/patch-cache-control.js'
import { patchedVary, varyIncludes } from '../dist/modules/src/http/patch-headers.js'
import { storeRefusal } from '../dist/modules/src/pages/policy.js'
import {
  compileQueryRule,
  narrowTarget,
  TRACKING_PARAMETERS,
} from '../dist/modules/src/http/query.js'
import { ifRangeHolds, selectRanges } from '../dist/modules/src/http/range.js'
import { requestDirectives } from '../dist/modules/src/http/reuse.js'
import { neverReplayed } from '../dist/modules/src/http/stored-response.js'
import { normalizedHeaders } from '../dist/modules/src/http/vary-values.js'
import { joinVary, parseVary } from '../dist/modules/src/http/vary.js'
import { row, sink } from './measure.mjs'

const LENGTHS = [1000, 2000, 4000, 8000]

/** Halfway, by exponent, between what is linear and what is quadratic. */
const TARGET = 1.5

const STORED = {
  etag: '"the-page"',
  'last-modified': 'Thu, 01 Jan 2026 00:00:00 GMT',
  date: 'Thu, 01 Jan 2026 01:00:00 GMT',
}
const URI = 'https://a.test/p'
const keeps = compileQueryRule({ ignore: TRACKING_PARAMETERS, only: ['page', 'filter_*'] })

const request = (name) => (text) =>
  evaluatePreconditions({ method: 'GET', headers: { [name]: text } }, { headers: STORED }, 0)
const refusal = (name) => (text) =>
  storeRefusal({ status: 200, headers: { [name]: text } }, false, {})

/** What reads, and how a value that it reads to its end begins. */
const READERS = {
  Range: [(text) => selectRanges(text, 1000), 'bytes=0-1'],
  'If-Range': [(text) => ifRangeHolds({ 'if-range': text }, STORED, 0), '"'],
  'If-None-Match': [(text) => isNotModified({ 'if-none-match': text }, STORED, 0), '"a"'],
  'If-Match': [request('if-match'), '"a"'],
  'If-Modified-Since': [request('if-modified-since'), 'Thu, 01 Jan 2026 00:00:00 GMT'],
  'Accept-Encoding': [(text) => chooseCoding(text, ['br', 'gzip']), 'gzip'],
  'Accept-Language': [
    (text) => normalizedHeaders(['accept-language'], { 'accept-language': text }),
    'de',
  ],
  'another header that pages vary on': [
    (text) => normalizedHeaders(['accept'], { accept: text }),
    'text/html',
  ],
  'Cache-Control of a request': [(text) => requestDirectives({ 'cache-control': text }), 'x'],
  'Cache-Control of a response': [
    (text) => [storingRestriction(text), parseCacheControl(text)],
    'max-age=60, x="',
  ],
  'CDN-Cache-Control': [refusal('cdn-cache-control'), 'max-age=60, x="'],
  'Cache-Control, patched': [
    (text) => patchedCacheControl(text, [{ name: 'max-age', value: 5 }]),
    'no-cache="',
  ],
  Vary: [(text) => [parseVary(text), varyIncludes(text, 'X'), patchedVary(text, ['X'])], 'Cookie'],
  'Vary of two layers': [(text) => joinVary(text, text), 'Cookie'],
  'Content-Type': [(text) => [isCompressible(text), refusal('content-type')(text)], 'text/x'],
  'Content-Range': [refusal('content-range'), 'bytes'],
  Expires: [(text) => explicitLifetimeSeconds({ expires: text }, 0), 'Thu, 01 Jan 2026'],
  Age: [(text) => initialAgeSeconds({ age: text, date: text }, 0), '1'],
  Connection: [(text) => neverReplayed({ connection: text })('x'), 'close'],
  Location: [(text) => invalidatedUris(URI, { location: text }), '/a/..'],
  Host: [(text) => absoluteUri('https', text, '/p'), 'a.test'],
  'query parameters': [(text) => narrowTarget(`/p?${text}`, keeps), 'page=1'],
}

const PARTS = [
  ...[' ', '\t', ',', '"', '\\', ';', '=', '-', '*', '.', ':', '/', '&', '[', '%5B', 'a', '0'],
  ...['0-1,', '"",', 'W/"",', '",', ',"', '"\\', 'a,', 'a=1,', 'a="', ' ,', '\t"', ';q=', 'no'],
  ...['no-cache=a,', 'private', '../', '/..', 'a&', 'a[', '&utm_'],
]

/** What looks worst in short batches is measured again in longer ones, which chance does less to. */
const SHORT = { batches: 5, batchMs: 0.3 }
const LONG = { batches: 15, batchMs: 3 }
const AGAIN = 3

export function run() {
  return Object.entries(READERS).map(([name, [read, head]]) => {
    const measure = (part, size) =>
      growthOf((length) => secondsOf(read, valueOf(head, part, length), size))
    const worst = PARTS.flatMap((part) => [
      [part, ''],
      [part, '!'],
    ])
      .map((part) => ({ part, ...measure(part, SHORT) }))
      .sort(byExponent)
      .slice(0, AGAIN)
      .map(({ part }) => ({ part, ...measure(part, LONG) }))
      .sort(byExponent)[0]
    const { exponent, us, part } = worst
    return row(
      `growth of ${name}`,
      exponent,
      TARGET,
      `${us.toFixed(1)} µs for 8000 characters of ${JSON.stringify(part[0])}`,
    )
  })
}

function byExponent(a, b) {
  return b.exponent - a.exponent
}

function valueOf(head, [part, tail], length) {
  return head + part.repeat(length).slice(0, length - head.length - tail.length) + tail
}

/** The exponent that fits best, by least squares over the logarithms. */
function growthOf(secondsFor) {
  const points = LENGTHS.map((length) => [Math.log(length), Math.log(secondsFor(length))])
  const mean = (i) => points.reduce((sum, point) => sum + point[i], 0) / points.length
  const [x, y] = [mean(0), mean(1)]
  const sum = (term) => points.reduce((all, point) => all + term(point), 0)
  return {
    exponent: sum(([a, b]) => (a - x) * (b - y)) / sum(([a]) => (a - x) ** 2),
    us: Math.exp(points.at(-1)[1]) * 1e6,
  }
}

/** The fastest of some batches: what else the machine does can only make one slower. */
function secondsOf(read, text, { batches, batchMs }) {
  let fastest = Infinity
  for (let batch = 0; batch < batches; batch++) {
    const startMs = performance.now()
    let calls = 0
    let nowMs
    do {
      sink.value = read(text)
      calls++
      nowMs = performance.now()
    } while (nowMs - startMs < batchMs)
    fastest = Math.min(fastest, (nowMs - startMs) / calls)
  }
  return fastest / 1000
}
