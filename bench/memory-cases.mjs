/** What is sent or rendered in the benchmark `memory`, and how often. */

const long = (i, length) => `${i}-`.padEnd(length, 'x')

export const CASES = {
  'long URLs': { count: 2000, requestOf: (i) => ({ path: `/p?${long(i, 8000)}` }) },
  'long field names': { count: 2000, requestOf: (i) => ({ header: `x-${long(i, 8000)}: 1` }) },
  'long hosts': { count: 2000, requestOf: (i) => ({ host: `${long(i, 8000)}.test` }) },
  'short queries': { count: 100_000, requestOf: (i) => ({ path: `/p?q=${i}` }) },
  'very long URLs, maxBytes 5 MB': {
    count: 16_000,
    options: { maxEntries: 100_000, maxBytes: 5e6 },
    requestOf: (i) => ({ path: `/p?${long(i, 14_000)}` }),
  },
  'private pages, long field names': {
    count: 2000,
    headers: { 'Cache-Control': 'private' },
    requestOf: (i) => ({ header: `x-${long(i, 8000)}: 1` }),
  },
  'paths under a mounted router': {
    count: 10_000,
    requestOf: (i) => ({ path: `/under/${long(i, 4000)}/p` }),
  },
  'vary-on values': { count: 100_000, render: (i) => [`fragment`, [long(i, 400)]] },
  'fragment names': { count: 20_000, render: (i) => [long(i, 2000), []] },
}
