import { subscribe, unsubscribe } from 'node:diagnostics_channel'
import { readFileSync } from 'node:fs'
import { fileURLToPath } from 'node:url'
import { afterEach, describe, expect, it, onTestFinished, vi } from 'vitest'
import { FileBasedCache } from '../../src/backends/file.js'
import {
  createCaches,
  DummyCache,
  LocMemCache,
  type Cache,
  type Caches,
  type FragmentMessage,
} from '../../src/index.js'
import { AsyncTestCache } from '../support/async-cache.js'
import { folderOfTest } from '../support/folders.js'

/** How a case is rendered: by the engine's synchronous call, or by its asynchronous one. */
export type Kind = 'sync' | 'async'

export interface Rendering {
  readonly context?: Readonly<Record<string, unknown>>
  /** Functions of the context, by source. */
  readonly functions?: Readonly<Record<string, string>>
  readonly output?: string
  /** A regular expression. */
  readonly error?: string
  readonly bodyRuns?: number
}

/** A case of `fixtures/templates`. */
export interface FragmentCase {
  readonly id: string
  readonly engine: string
  readonly templates: Readonly<Record<string, string>>
  readonly entry: string
  readonly backend: Kind
  readonly context?: Readonly<Record<string, unknown>>
  readonly functions?: Readonly<Record<string, string>>
  /** Helpers of the engine, by source. */
  readonly helpers?: Readonly<Record<string, string>>
  /** Compile options. */
  readonly options?: Readonly<Record<string, unknown>>
  /** Settings of the engine. */
  readonly config?: Readonly<Record<string, unknown>>
  /** The caches' kinds. Left out: `default` and `local`, both of the kind `backend`. */
  readonly caches?: Readonly<Record<string, Kind>>
  readonly renders: readonly Rendering[]
}

export type Render = (context: Record<string, unknown>) => string | Promise<string>

/** How an engine is set up. */
export interface Driver {
  /** Renders a case's entry, each time with the same engine; `caches` left out: without the tag. */
  prepare(one: FragmentCase, caches: Caches | undefined): Render
}

/** Turns a function's source into the function. */
export function evaluate<T>(source: string): T {
  return (0, eval)(`(${source})`) as T
}

export function readCases(engine: string): FragmentCase[] {
  const file = fileURLToPath(new URL(`../../fixtures/templates/${engine}.json`, import.meta.url))
  return (JSON.parse(readFileSync(file, 'utf8')) as { cases: FragmentCase[] }).cases
}

/** Cases, by their ids without the kind, that cannot be the same with and without a cache. */
export interface Differences {
  /** A hit shows what a former render's context gave. */
  readonly stale?: readonly string[]
  /** The tag keeps inside what would without it reach the rest of the template. */
  readonly isolated?: readonly string[]
}

/** Tests that an engine's tag does what the cases say, and that no cache changes a byte. */
export function testFragmentCases(
  driver: Driver,
  cases: readonly FragmentCase[],
  { stale = [], isolated = [] }: Differences = {},
): void {
  afterEach(() => void vi.restoreAllMocks())
  const makeFileCache = () => new FileBasedCache({ location: folderOfTest() })
  describe.each(cases)('$id', (one) => {
    const backends: Readonly<Record<string, () => Cache>> =
      one.backend === 'sync'
        ? { 'local memory': () => new LocMemCache() }
        : { 'an asynchronous cache': () => new AsyncTestCache(), files: makeFileCache }
    it.each(Object.entries(backends))('over %s', async (_, makeCache) => {
      const caches = cachesOf(one, makeCache)
      // Before the folder goes, also where a check fails.
      onTestFinished(() => caches.close())
      const render = lazily(() => driver.prepare(one, caches))
      for (const rendering of one.renders) {
        const { outcome, bodyRuns } = await countBodies(() => run(render, one, rendering))
        check(outcome, rendering)
        if (rendering.bodyRuns !== undefined) expect(bodyRuns).toBe(rendering.bodyRuns)
      }
    })
    if (one.renders.some(({ error }) => error !== undefined)) return
    const id = one.id.replace(/\.a?sync$/, '')
    if (stale.includes(id)) return
    const nothingKept: Readonly<Record<string, () => Cache>> =
      one.backend === 'sync'
        ? { 'a cache that keeps nothing': () => new DummyCache() }
        : { 'a cache that fails': () => Object.assign(new AsyncTestCache(), { failing: true }) }
    it.each(Object.entries(nothingKept))('is the same over %s', async (_, makeCache) => {
      vi.spyOn(process, 'emitWarning').mockReturnValue()
      const render = driver.prepare(one, cachesOf(one, makeCache))
      for (const rendering of one.renders) check(await run(render, one, rendering), rendering)
    })
    if (isolated.includes(id)) return
    it('is the same without the tag', async () => {
      const render = driver.prepare(one, undefined)
      for (const rendering of one.renders) check(await run(render, one, rendering), rendering)
    })
  })
}

function cachesOf(one: FragmentCase, makeCache: () => Cache): Caches {
  const kinds: Readonly<Record<string, Kind>> = one.caches ?? {
    default: one.backend,
    local: one.backend,
  }
  return createCaches(
    Object.fromEntries(
      Object.entries(kinds).map(([alias, kind]) => [
        alias,
        kind === one.backend ? makeCache() : new LocMemCache(),
      ]),
    ) as { default: Cache },
  )
}

function lazily(prepare: () => Render): Render {
  let render: Render | undefined
  return (context) => (render ??= prepare())(context)
}

type Outcome = { readonly text: string } | { readonly error: Error }

async function run(render: Render, one: FragmentCase, rendering: Rendering): Promise<Outcome> {
  const context: Record<string, unknown> = structuredClone(rendering.context ?? one.context ?? {})
  for (const [name, source] of Object.entries(rendering.functions ?? one.functions ?? {})) {
    context[name] = evaluate(source)
  }
  try {
    return { text: await render(context) }
  } catch (error) {
    return { error: error as Error }
  }
}

function check(outcome: Outcome, { output, error }: Rendering): void {
  if (error === undefined) {
    if ('error' in outcome) throw outcome.error
    expect(outcome.text).toBe(output)
  } else {
    expect('error' in outcome ? outcome.error.message : outcome.text).toMatch(
      new RegExp(error, 'i'),
    )
    expect(outcome).toHaveProperty('error')
  }
}

/** Runs something and counts the fragments whose body ran meanwhile. */
export async function countBodies<T>(
  action: () => T | Promise<T>,
): Promise<{ outcome: T; bodyRuns: number }> {
  let bodyRuns = 0
  const count = (message: unknown) => {
    const { outcome } = message as FragmentMessage
    if (outcome !== 'hit' && outcome !== 'joined' && outcome !== 'stale') bodyRuns++
  }
  subscribe('fragcache:fragment', count)
  try {
    return { outcome: await action(), bodyRuns }
  } finally {
    unsubscribe('fragcache:fragment', count)
  }
}
