/**
 * What tags, leases and staleness cost: to those who do not use them, against an older build
 * (`BENCH_BASE`: the folder of its `dist`; left out, these are not measured), and to those who do.
 */
import { join, resolve } from 'node:path'
import { pathToFileURL } from 'node:url'
import { createCaches, FragmentCache, LocMemCache } from 'fragcache'
import { registerCache } from 'fragcache/nunjucks'
import nunjucks from 'nunjucks'
import { compare, row } from './measure.mjs'

const TEXT = 'x'.repeat(500)
const KEYS = Array.from({ length: 100 }, (_, i) => `key-${i}`)

/** Hits that use nothing new, here and in the older build. */
async function against(base) {
  const older = await import(pathToFileURL(join(resolve(base), 'src/index.js')).href)
  const subjects = {
    get: (lib) => {
      const cache = fill(lib, {})
      let i = 0
      return () => cache.get(KEYS[i++ % KEYS.length])
    },
    'get, tagged': (lib) => {
      const cache = fill(lib, { tags: ['a', 'b'] })
      let i = 0
      return () => cache.get(KEYS[i++ % KEYS.length])
    },
    getOrSet: (lib) => {
      const cache = fill(lib, {})
      let i = 0
      return () => cache.getOrSet(KEYS[i++ % KEYS.length], () => TEXT)
    },
    'renderSync, fragment': (lib) => {
      const fragments = new lib.FragmentCache(lib.createCaches({ default: new lib.LocMemCache() }))
      let i = 0
      const body = () => TEXT
      return () =>
        fragments.renderSync(
          { name: 'n', timeout: 500, varyOn: [KEYS[i++ % KEYS.length]], tags: ['a'] },
          body,
        )
    },
  }
  const rows = []
  for (const [name, subject] of Object.entries(subjects)) {
    const here = subject({ createCaches, FragmentCache, LocMemCache })
    const result = await compare({ older: subject(older), here })
    rows.push(
      row(
        `hit, ${name} / the same before`,
        result.here.ratio,
        1.05,
        `${result.here.ns.toFixed(0)} ns`,
      ),
    )
  }
  return rows
}

function fill(lib, options) {
  const cache = new lib.LocMemCache({ options: { maxEntries: 10_000 } })
  for (const key of KEYS) void cache.set(key, TEXT, { timeout: 500, ...options })
  return cache
}

/** A page of a hundred warm fragments, each with a tag of its own: by itself, and as part of something. */
async function bubbling() {
  const fragments = new FragmentCache(
    createCaches({ default: new LocMemCache({ options: { maxEntries: 10_000 } }) }),
  )
  const env = new nunjucks.Environment(null, { autoescape: true })
  registerCache(env, fragments)
  const template = nunjucks.compile(
    '{% for key in keys %}{% cache 500 row key tags=["tag:" + key] %}{{ text }}{% endcache %}{% endfor %}',
    env,
  )
  const page = () => template.render({ keys: KEYS, text: TEXT })
  page()
  const result = await compare({
    // Around both is the same; in the one the fragments are rendered before it, and tell it nothing.
    alone: () => {
      const text = page()
      return fragments.renderSync({ name: 'page', timeout: 0 }, () => text)
    },
    bubbling: () => fragments.renderSync({ name: 'page', timeout: 0 }, page),
  })
  return row(
    'Nunjucks page of 100 warm fragments, their tags bubbling / not',
    result.bubbling.ratio,
    1.1,
    `${(result.bubbling.ns / 1000).toFixed(0)} us`,
  )
}

/** Warm values with everything switched on. */
async function used() {
  const plain = fill({ LocMemCache }, {})
  const all = {
    timeout: 500,
    lock: true,
    earlyRefresh: true,
    staleWhileRevalidate: 60,
    staleIfError: 60,
  }
  const cache = new LocMemCache({ options: { maxEntries: 10_000 } })
  for (const key of KEYS) await cache.getOrSet(key, () => TEXT, all)
  let i = 0
  let j = 0
  const result = await compare({
    plain: () => plain.getOrSet(KEYS[i++ % KEYS.length], () => TEXT),
    all: () => cache.getOrSet(KEYS[j++ % KEYS.length], () => TEXT, all),
  })
  return row(
    'getOrSet hit with lock, early refresh and staleness / without',
    result.all.ratio,
    undefined,
    `${result.all.ns.toFixed(0)} ns`,
  )
}

export async function run() {
  const base = process.env.BENCH_BASE
  const rows = base === undefined ? [] : await against(base)
  return [...rows, await bubbling(), await used()]
}
