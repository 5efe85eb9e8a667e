/**
 * What it costs to load the package: processes that import it beside empty ones, started in turn, the modules
 * that Node loads for it, and the size of what a bundler makes of it.
 */
import { spawnSync } from 'node:child_process'
import { mkdtempSync, readdirSync, readFileSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { gzipSync } from 'node:zlib'
import { build } from 'esbuild'
import { goal, ROUNDS, summary } from './measure.mjs'

const root = fileURLToPath(new URL('..', import.meta.url))

/** @returns {number} Milliseconds from the start of a process that imports the package to its end. */
function timeOf(specifier) {
  const code = specifier === undefined ? '' : `import ${JSON.stringify(specifier)}`
  const startMs = performance.now()
  start(code)
  return performance.now() - startMs
}

function start(code, env = process.env) {
  const args = ['--input-type=module', '-e', code]
  const { status, stderr } = spawnSync(process.execPath, args, { cwd: root, env, encoding: 'utf8' })
  if (status !== 0) throw new Error(stderr)
}

/** Counted by V8, which names every script that a process has loaded. */
function modulesOf(specifier) {
  const folder = mkdtempSync(join(tmpdir(), 'fragcache-modules-'))
  try {
    start(`await import(${JSON.stringify(specifier)})`, {
      ...process.env,
      NODE_V8_COVERAGE: folder,
    })
    const scripts = readdirSync(folder).flatMap(
      (file) => JSON.parse(readFileSync(join(folder, file), 'utf8')).result,
    )
    const files = scripts.filter(({ url }) => url.startsWith('file:') && !url.endsWith('[eval1]'))
    return new Set(files.map(({ url }) => url)).size
  } finally {
    rmSync(folder, { recursive: true })
  }
}

/** @returns {Promise<number>} Bytes of one minified file for Node, with gzip's best compression. */
async function bundleSizeOf(code) {
  const { outputFiles } = await build({
    stdin: { contents: code, resolveDir: root },
    bundle: true,
    minify: true,
    format: 'esm',
    platform: 'node',
    write: false,
  })
  return gzipSync(outputFiles[0].contents, { level: 9 }).length
}

export async function run() {
  const specifiers = [undefined, 'fragcache', 'fragcache/express', 'express']
  for (const specifier of specifiers) timeOf(specifier)
  const ownMs = []
  const expressRatios = []
  for (let round = 0; round < ROUNDS; round++) {
    const order = round % 2 === 0 ? specifiers : [...specifiers].reverse()
    const times = new Map(order.map((specifier) => [specifier, timeOf(specifier)]))
    const ms = (specifier) => times.get(specifier) - times.get(undefined)
    ownMs.push(ms('fragcache'))
    expressRatios.push(ms('fragcache/express') / ms('express'))
  }
  const bytes = await bundleSizeOf("export { createCaches, LocMemCache } from 'fragcache'")
  const kilobytes = { ratio: bytes / 1000 }
  return [
    goal('10', 'start: ms of import fragcache', summary(ownMs), 20, 'beside an empty process'),
    goal('10', 'start: files of import fragcache', { ratio: modulesOf('fragcache') }, 25),
    goal(
      '10',
      'start: import fragcache/express',
      summary(expressRatios),
      1.1,
      `${modulesOf('fragcache/express')} files; 1.0 is import express, ${modulesOf('express')} files`,
    ),
    goal('10', 'start: kB of createCaches and LocMemCache', kilobytes, 20, 'esbuild, gzip'),
  ]
}
