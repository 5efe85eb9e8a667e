import { existsSync, readFileSync, writeFileSync } from 'node:fs'
import { resolve } from 'node:path'
import { CONFIG_FILES } from './config.js'
import { CommandError } from './faults.js'
import { configText, ENGINES, setupText, type Engine } from './init-files.js'
import { EXIT_DONE, toJson, visible, type CliOutput, type ExitCode } from './terminal.js'

/** What of a package.json is looked at. */
interface Manifest {
  readonly type?: unknown
  readonly dependencies?: Readonly<Record<string, unknown>>
  readonly devDependencies?: Readonly<Record<string, unknown>>
}

function readManifest(): Manifest {
  const file = resolve('package.json')
  let manifest: unknown
  try {
    manifest = JSON.parse(readFileSync(file, 'utf8'))
  } catch (error) {
    const { message } = error as Error
    throw new CommandError(
      existsSync(file)
        ? `init: ${file} cannot be read: ${message}`
        : `init: there is no package.json in ${resolve()}; go to the folder of the application, or make one with npm init`,
      { cause: error },
    )
  }
  if (typeof manifest === 'object' && manifest !== null) return manifest
  throw new CommandError(`init: ${file} is not an object`)
}

/** Writes a configuration and a first use of the caches for what an application has in its package.json. */
export function init(
  { json = false }: { readonly json?: boolean | undefined },
  output: CliOutput,
): ExitCode {
  const manifest = readManifest()
  const has = (name: string) =>
    [manifest.dependencies, manifest.devDependencies].some((one) => Object.hasOwn(one ?? {}, name))
  if (!has('express')) {
    throw new CommandError(
      'init: express is not among the dependencies in package.json, and the files are made for it; npm install express, or see docs/node.md for other servers',
    )
  }
  const engine = ENGINES.find(({ packages }) => packages.every(has))
  const isTyped = existsSync(resolve('tsconfig.json'))
  const isModule = manifest.type === 'module'
  const end = isTyped ? 'ts' : isModule ? 'js' : 'mjs'
  const setup = `fragcache.setup.${end}`
  // TypeScript is imported by the name that it is compiled to.
  const asImported = (file: string) => `./${file.replace(/ts$/, 'js')}`
  const config = CONFIG_FILES.find((name) => existsSync(resolve(name))) ?? `fragcache.config.${end}`
  const files = [
    [config, configText()],
    [setup, setupText(engine, { isTyped, config: asImported(config) })],
  ] as const
  const written: string[] = []
  const kept: string[] = []
  for (const [name, text] of files) (write(name, text) ? written : kept).push(name)
  const names = engine === undefined ? 'pages' : 'pages, setUpCache'
  const importing = `import { ${names} } from '${asImported(setup)}'`
  const add = [
    isTyped || isModule
      ? importing
      : `const { ${names} } = require('${asImported(setup)}') // in an .mjs file: ${importing}`,
    ...(engine?.use ?? []),
    "app.get('/', pages.cachePage(60), (req, res) => res.render('index'))",
  ]
  const install = has('fragcache') ? [] : ['npm install fragcache']
  output.out(
    json
      ? toJson({
          engine: engine?.name ?? null,
          written,
          kept,
          install,
          add,
          template: engine?.tag ?? null,
        })
      : visible(asText(engine, { written, kept, install, add })),
  )
  return EXIT_DONE
}

/** @returns Whether it was written: what is there stays, also what comes there meanwhile. */
function write(name: string, text: string): boolean {
  try {
    writeFileSync(resolve(name), text, { flag: 'wx' })
    return true
  } catch (error) {
    const { code, message } = error as NodeJS.ErrnoException
    if (code === 'EEXIST') return false
    throw new CommandError(`init: ${name} cannot be written: ${message}`, { cause: error })
  }
}

function asText(
  engine: Engine | undefined,
  steps: Readonly<Record<'written' | 'kept' | 'install' | 'add', readonly string[]>>,
): string {
  const part = (title: string, lines: readonly string[]) =>
    lines.length === 0 ? [] : ['', title, ...lines.map((line) => `  ${line}`)]
  return [
    ...steps.written.map((name) => `${name} is written`),
    ...steps.kept.map((name) => `${name} already exists and was not changed`),
    ...part('Install:', steps.install),
    ...part('Add to the application:', steps.add),
    ...(engine === undefined
      ? [
          '',
          'No template engine was found in package.json: you can cache whole pages, but no parts of them.',
        ]
      : part('And in a template:', [engine.tag])),
    '',
    'Then request the page twice, and look at the header Cache-Status.',
  ].join('\n')
}
