/**
 * A page of 20 warm texts of 500 bytes over one Redis: read by one MGET and rendered as plain variables, by cache
 * tags, and by each peer with one `getOrSet` a text, all at once, and plain variables.
 */
import { readFileSync } from 'node:fs'
import { cpus } from 'node:os'
import { createCaches } from 'fragcache'
import { RedisCache } from 'fragcache/redis'
import { Redis } from 'ioredis'
import { compareWaiting, row } from './measure.mjs'
import { contextOf, engines, numbers, TEXT } from './page-engines.mjs'

const BASELINE = 'MGET by hand'

/**
 * @param {string} url - Of the server.
 * @param {typeof import('./peers/pages.mjs').textsOverRedis} textsOverRedis
 * @returns Rows; the table of `docs/performance.md` goes to the error output.
 */
export async function pagesOverRedis(url, textsOverRedis) {
  const cache = new RedisCache({ location: url, keyPrefix: 'bench-page' })
  const raw = new Redis(url, { enableAutoPipelining: true, keyPrefix: 'bench-raw:' })
  const peers = textsOverRedis(url, async () => TEXT)
  const keys = numbers.map((i) => `page-${i}`)
  for (const key of keys) await raw.set(key, TEXT)
  const context = contextOf(numbers.map(() => TEXT))
  const results = {}
  try {
    for (const [engine, make] of Object.entries(engines)) {
      const { plain, cached } = make(createCaches({ default: cache }))
      const subjects = {
        [BASELINE]: async () => plain(contextOf(await raw.mget(keys))),
        fragcache: () => cached(context),
      }
      for (const [peer, { text }] of Object.entries(peers)) {
        subjects[peer] = async () =>
          plain(contextOf(await Promise.all(keys.map((key) => text(key)))))
      }
      const wanted = plain(context)
      for (const [name, render] of Object.entries(subjects)) {
        for (let i = 0; i < 2; i++) {
          if ((await render()) !== wanted) throw new Error(`${name} in ${engine}: the page differs`)
        }
      }
      results[engine] = await compareWaiting(subjects)
    }
  } finally {
    for (const { close } of Object.values(peers)) await close()
    await cache.clear()
    await cache.close()
    raw.disconnect()
  }
  process.stderr.write(`\n${tableOf(results)}\n\n`)
  return Object.entries(results).flatMap(([engine, of]) =>
    Object.entries(of)
      .filter(([name]) => name !== BASELINE)
      .map(([name, { ratio, us, processor }]) => {
        const detail = `${us.toFixed(0)} µs; processor time ${processor.ratio.toFixed(2)}, ${processor.us.toFixed(0)} µs`
        return row(`20 texts over Redis, ${engine}: ${name} / MGET`, ratio, undefined, detail)
      }),
  )
}

/** Microseconds a page, and in brackets the times of MGET by hand with the quartiles of the rounds. */
function tableOf(results) {
  const columns = Object.keys(results)
  const names = Object.keys(results[columns[0]])
  const cell = ({ us, ratio, spread }) =>
    `${us.toFixed(0)} (${ratio.toFixed(1)}; ${spread.map((x) => x.toFixed(1)).join('–')})`
  const line = (cells) => `| ${cells.join(' | ')} |`
  const { dependencies } = JSON.parse(
    readFileSync(new URL('peers/package.json', import.meta.url), 'utf8'),
  )
  return [
    `${new Date().toISOString().slice(0, 10)}, Node ${process.version}, ${cpus().length} × ${cpus()[0]?.model.trim()}`,
    '',
    line(['µs a page (× MGET; quartiles)', ...columns]),
    line(['---', ...columns.map(() => '---')]),
    ...names.map((name) =>
      line([
        [name, dependencies[name]].filter(Boolean).join(' '),
        ...columns.map((engine) => cell(results[engine][name])),
      ]),
    ),
  ].join('\n')
}
