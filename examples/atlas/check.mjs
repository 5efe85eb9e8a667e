import { subscribe } from 'node:diagnostics_channel'
import { once } from 'node:events'
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout } from 'node:timers/promises'
import { countries, regions } from './data/countries.mjs'
import { checkEdits } from './check-edits.mjs'
import { faultsOf } from './compare.mjs'
import { createSite, engineNames } from './site.mjs'

/** With this many faults it stops: a cache that keeps nothing would have thousands. */
const MOST_FAULTS = 20

/** The pages, by the name of their row in the table. */
const pagesOf = (every) => ({
  '/': ['/'],
  '/region/…': regions.map(({ slug }) => `/region/${slug}`),
  '/country/…': countries.filter((_, i) => i % every === 0).map(({ cca3 }) => `/country/${cca3}`),
  '/country/… in Arabic': ['FRA', 'ISL', 'VAT'].map((code) => `/country/${code}?lang=ar`),
  '/country/…?to=…': ['FRA?to=PRT', 'NOR?to=ZAF', 'ISL?to=FRA'].map((route) => `/country/${route}`),
  '/visited': ['/visited'],
  '/stats': ['/stats', '/stats?lang=de'],
  'a page that is not there': ['/nowhere'],
})

/**
 * Asks for every page twice, with empty caches at the beginning of each row, and prints what each
 * time cost; then edits a note in every way that the form offers, and prints what that made again.
 *
 * @param {object} options
 * @param {string} [options.cache] - Where to cache; left out: in memory, then in files.
 * @param {number} [options.every] - Of the countries, only every so-many-th.
 * @returns {Promise<number>} The exit code: 1 when a warm page ran a body or came out otherwise than
 *   the cold one, or an edit made again anything but what shows the note.
 */
export async function check({ cache, every = 1 }) {
  const pages = pagesOf(every)
  if (cache !== undefined) return await checkOne(pages, cache)
  const directory = await mkdtemp(join(tmpdir(), 'atlas-'))
  try {
    const inMemory = await checkOne(pages, 'memory')
    const inFiles = await checkOne(pages, `file:${directory}`, 'file:…')
    return Math.max(inMemory, inFiles)
  } finally {
    await rm(directory, { recursive: true, maxRetries: 10 })
  }
}

async function checkOne(pages, where, shown = where) {
  const site = await createSite(where)
  const server = site.app.listen(0, '127.0.0.1')
  await once(server, 'listening')
  const origin = `http://127.0.0.1:${server.address().port}`
  const faults = []
  console.log(`\n--cache ${shown}\n`)
  printRow(['page', 'engine', 'pages', 'cold ms', 'warm ms', 'bodies cold', 'bodies warm'])
  try {
    for (const [name, paths] of Object.entries(pages)) {
      for (const engine of engineNames) {
        if (faults.length >= MOST_FAULTS) break
        const row = await visitAll(site, origin, engine, paths, faults)
        printRow([name, engine, paths.length, ms(row.coldMs), ms(row.warmMs), row.cold, row.warm])
      }
    }
    if (faults.length === 0) await editAll(site, origin, faults)
  } finally {
    server.close()
    server.closeAllConnections()
    await site.close()
  }
  for (const fault of faults.slice(0, MOST_FAULTS)) console.error(fault)
  if (faults.length === 0) {
    console.log('\nEvery warm page is its cold page, and ran no body.')
    console.log('Every edit made again what it should, and nothing else.')
  }
  return faults.length === 0 ? 0 : 1
}

/** Pages are asked for as a visitor who is signed in, and without the line about this request. */
async function visitAll(site, origin, engine, paths, faults) {
  const base = `${origin}/${engine}`
  const cookie = await signIn(base)
  const row = { coldMs: 0, warmMs: 0, cold: 0, warm: 0 }
  await site.clear(engine)
  for (const path of paths) {
    const cold = await get(base + path, cookie)
    const warm = await get(base + path, cookie)
    row.coldMs += cold.ms
    row.warmMs += warm.ms
    row.cold += cold.account.bodies.length
    row.warm += warm.account.bodies.length
    for (const fault of faultsOf(cold, warm)) faults.push(`${base + path}: ${fault}`)
  }
  return row
}

async function editAll(site, origin, faults) {
  console.log('')
  printRow(['a note is edited', 'engine', '', '', 'bodies', 'whole pages', 'hits'])
  for (const engine of engineNames) {
    const base = `${origin}/${engine}`
    const cookie = await signIn(base)
    await site.clear(engine)
    const edits = checkEdits({
      base,
      notes: site.notes,
      get: (url) => get(url, cookie),
      post: (url, fields) => post(url, fields, cookie),
    })
    for await (const { by, bodies, pages, kept, faults: found } of edits) {
      printRow([`by ${by}`, engine, '', '', bodies, pages, kept])
      faults.push(...found.map((fault) => `${base}, edit by ${by}: ${fault}`))
    }
  }
}

/** @type {import('./watch.mjs').Account | undefined} */
let latest
subscribe('atlas:account', (account) => {
  latest = account
})

async function get(url, cookie) {
  const startedAtMs = performance.now()
  const response = await fetch(url, { headers: { cookie, 'atlas-foot': 'off' } })
  const body = Buffer.from(await response.arrayBuffer())
  const ms = performance.now() - startedAtMs
  const account = latest
  // A whole page is stored after it was sent: asking again at once would be too early.
  while (response.headers.has('cache-status') && account.response === undefined) await setTimeout(1)
  return { status: response.status, body, ms, account }
}

const post = (url, fields, cookie = '') =>
  fetch(url, {
    method: 'POST',
    redirect: 'manual',
    headers: { origin: new URL(url).origin, cookie },
    body: new URLSearchParams(fields),
  })

async function signIn(base) {
  const response = await post(`${base}/sign-in`, { name: 'Ada' })
  return response.headers.getSetCookie()[0].split(';')[0]
}

const ms = (number) => number.toFixed(1)

function printRow(cells) {
  const widths = [26, 12, 6, 10, 10, 12, 12]
  const padded = cells.map((cell, i) =>
    i < 2 ? String(cell).padEnd(widths[i]) : String(cell).padStart(widths[i]),
  )
  console.log(padded.join('').trimEnd())
}
