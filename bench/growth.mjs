/**
 * How the cost of a warm page grows with its fragments and their tags, in Nunjucks over local memory (processor
 * time) and Redis (by the wall clock). Each fragment has 100 bytes, one vary-on value, and its tags from the same
 * hundred, so that a page never depends on more than these.
 */
import { createCaches, LocMemCache } from 'fragcache'
import { registerCache } from 'fragcache/nunjucks'
import { RedisCache } from 'fragcache/redis'
import nunjucks from 'nunjucks'
import { compareWaiting, goal } from './measure.mjs'
import { openOrFail } from './servers.mjs'

const FRAGMENTS = [1, 10, 100, 1000]
const TAGS = [0, 1, 10, 100]
const DISTINCT_TAGS = 100
const TEXT = 'x'.repeat(100)

/** The most that a fragment, or a tag, may cost on a page of ten times as many. */
const TARGET = 1.3

export async function run() {
  const server = await openOrFail('redis')
  const memory = new LocMemCache({ options: { maxEntries: 10_000 } })
  const redis = new RedisCache({ location: server.url, keyPrefix: 'bench-growth' })
  try {
    return [
      ...rowsOf('local memory', await timesOf(memory, ({ processor }) => processor.us)),
      ...rowsOf('Redis', await timesOf(redis, ({ us }) => us)),
    ]
  } finally {
    await redis.clear()
    await redis.close()
    server.stop()
  }
}

const nameOf = (fragments, tags) => `${fragments} ${tags}`

/** @returns {Promise<Record<string, number>>} Microseconds a page. */
async function timesOf(cache, timeOf) {
  const env = new nunjucks.Environment(null, { autoescape: true })
  const { renderAsync } = registerCache(env, createCaches({ default: cache }))
  const pages = {}
  for (const fragments of FRAGMENTS) {
    for (const tags of TAGS) {
      const { template, context } = pageOf(env, fragments, tags)
      const render = () => renderAsync(template, context)
      const cold = await render()
      if ((await render()) !== cold) throw new Error('bench: the warm page differs')
      pages[nameOf(fragments, tags)] = render
    }
  }
  const measured = await compareWaiting(pages)
  return Object.fromEntries(Object.entries(measured).map(([name, one]) => [name, timeOf(one)]))
}

function pageOf(env, fragments, tags) {
  const items = Array.from({ length: fragments }, (_, i) => ({
    id: i,
    tags: Array.from({ length: tags }, (_, k) => `tag-${(i + k) % DISTINCT_TAGS}`),
  }))
  const given = tags === 0 ? '' : ' tags=item.tags'
  const fragment = `{% cache 500 of${fragments}with${tags} item.id${given} %}{{ text }}{% endcache %}`
  const source = `{% for item in items %}<div>${fragment}</div>\n{% endfor %}`
  return { template: nunjucks.compile(source, env), context: { items, text: TEXT } }
}

function rowsOf(store, us) {
  const at = (fragments, tags) => us[nameOf(fragments, tags)]
  const perFragment = (count, tags) => at(count, tags) / count
  const perTag = (fragments, count) => (at(fragments, count) - at(fragments, 0)) / fragments / count
  const { page, fragment, tag, off } = lineThrough(us)
  const line = `fitted: ${page.toFixed(0)} µs a page + ${fragment.toFixed(2)} a fragment + ${tag.toFixed(3)} a tag of one; mean error ${(100 * off).toFixed(0)} %`
  const ratioOf = (many, few) => ({ ratio: many / few })
  const detail = (many, few) => `${many.toFixed(2)} and ${few.toFixed(2)} µs`
  const fragments = TAGS.map((tags) => {
    const [many, few] = [perFragment(1000, tags), perFragment(100, tags)]
    const name = `${store}: a fragment with ${tags} tags at 1,000 / at 100`
    const shown = detail(many, few)
    return goal(
      'growth',
      name,
      ratioOf(many, few),
      TARGET,
      tags === 0 ? `${shown}; ${line}` : shown,
    )
  })
  const tags = [100, 1000].map((count) => {
    const [many, few] = [perTag(count, 100), perTag(count, 10)]
    const name = `${store}: a tag of 100 / of 10, on ${count} fragments`
    return goal('growth', name, ratioOf(many, few), TARGET, detail(many, few))
  })
  return [...fragments, ...tags]
}

/**
 * The line `page + fragment * fragments + tag * fragments * tags` with the least squares of relative errors, so
 * that a small page counts as much as a large one.
 */
function lineThrough(us) {
  const points = Object.entries(us).map(([name, time]) => {
    const [fragments, tags] = name.split(' ').map(Number)
    return [1 / time, fragments / time, (fragments * tags) / time]
  })
  const sums = [0, 1, 2].map((i) => [
    ...[0, 1, 2].map((j) => points.reduce((sum, point) => sum + point[i] * point[j], 0)),
    points.reduce((sum, point) => sum + point[i], 0),
  ])
  const [page, fragment, tag] = solve(sums)
  const errors = points.map((x) => Math.abs(page * x[0] + fragment * x[1] + tag * x[2] - 1))
  return { page, fragment, tag, off: errors.reduce((sum, one) => sum + one, 0) / points.length }
}

/** By Gauss and Jordan; each row ends with its right side. */
function solve(rows) {
  rows.forEach((row, i) => {
    const pivot = row[i]
    rows[i] = row.map((x) => x / pivot)
    rows.forEach((other, k) => {
      if (k !== i) rows[k] = other.map((x, j) => x - other[i] * rows[i][j])
    })
  })
  return rows.map((row) => row.at(-1))
}
