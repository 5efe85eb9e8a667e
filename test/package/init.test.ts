import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { mkdir, readFile, rm, writeFile } from 'node:fs/promises'
import { dirname, join } from 'node:path'
import { beforeAll, describe, expect, it, onTestFinished } from 'vitest'
import { Consumer } from '../support/consumer.js'
import { projectRoot, run } from '../support/project.js'

let consumer: Consumer
beforeAll(async () => {
  consumer = await Consumer.install()
  const linked = ['express', 'nunjucks', 'express-handlebars', 'handlebars', 'hbs', 'eta', 'tsx']
  const types = ['@types/node', '@types/express', '@types/nunjucks']
  for (const name of [...linked, ...types]) await consumer.link(name)
  return () => consumer.remove()
}, 240_000)

let apps = 0

/** A folder of an application that has these files, beside what the consumer has installed. */
async function makeApp(files: Readonly<Record<string, string>>): Promise<string> {
  const app = join(consumer.folder, `app-${apps++}`)
  onTestFinished(() => rm(app, { recursive: true }))
  for (const [name, text] of Object.entries(files)) {
    await mkdir(dirname(join(app, name)), { recursive: true })
    await writeFile(join(app, name), text)
  }
  return app
}

const manifest = (engine: string | undefined, type: string) =>
  JSON.stringify({
    type,
    dependencies: {
      express: '5',
      fragcache: '1',
      ...(engine === undefined ? {} : { [engine]: '1' }),
    },
  })

const init = (app: string, ...args: string[]) =>
  run(join(consumer.folder, 'node_modules', '.bin', 'fragcache'), ['init', ...args], app)

interface Result {
  readonly engine: string | null
  readonly written: readonly string[]
  readonly kept: readonly string[]
  readonly install: readonly string[]
  readonly add: readonly string[]
  readonly template: string | null
}

async function initJson(app: string): Promise<Result> {
  const { code, out, error } = await init(app, '--json')
  expect({ code, error }).toEqual({ code: 0, error: '' })
  return JSON.parse(out) as Result
}

/** What an application has already that uses an engine by itself: what it loads, and its lines. */
const ownSetUps: Readonly<Record<string, Readonly<Record<'loads' | 'lines', readonly string[]>>>> =
  {
    nunjucks: { loads: ['nunjucks'], lines: [] },
    handlebars: {
      loads: ['Handlebars', 'fs'],
      lines: [
        "app.engine('hbs', (file, data, done) => {",
        "  done(null, Handlebars.compile(fs.readFileSync(file, 'utf8'))(data))",
        '})',
        "app.set('view engine', 'hbs')",
      ],
    },
  }

/** The application, with what init says to add. */
function appOf({ engine, add }: Result, { isModule }: { readonly isModule: boolean }): string {
  const { loads = [], lines = [] } = ownSetUps[engine ?? ''] ?? {}
  const names = ['express', ...loads]
  const load = (name: string) => {
    const from = name.toLowerCase()
    return isModule ? `import ${name} from '${from}'` : `const ${name} = require('${from}')`
  }
  const [loading = '', ...rest] = add
  return [
    ...names.map(load),
    loading,
    'const app = express()',
    ...lines,
    ...rest,
    'let visits = 0',
    "app.get('/parts', (req, res) => res.render('index', { visit: ++visits }))",
    'const server = app.listen(0, () => console.log(JSON.stringify(server.address())))',
  ].join('\n')
}

/** Starts an application, and asks it for pages one after the other. */
async function visit(app: string, args: readonly string[], paths: readonly string[]) {
  const child = spawn(process.execPath, args, { cwd: app, stdio: ['ignore', 'pipe', 'pipe'] })
  onTestFinished(() => void child.kill())
  let error = ''
  child.stderr.on('data', (chunk: Buffer) => (error += chunk.toString()))
  const [address] = (await Promise.race([once(child.stdout, 'data'), once(child, 'exit')])) as [
    unknown,
  ]
  if (!Buffer.isBuffer(address)) throw new Error(`it ended: ${error}`)
  const { port } = JSON.parse(address.toString()) as { readonly port: number }
  const answers = []
  for (const path of paths) {
    const response = await fetch(`http://127.0.0.1:${port}${path}`)
    const status = response.headers.get('cache-status')
    answers.push({ body: (await response.text()).trim().replace(/\s+/g, ' '), status })
  }
  return answers
}

const views: Readonly<Record<string, Readonly<Record<string, string>>>> = {
  nunjucks: { 'views/index.njk': '{{ visit }} TAG' },
  'express-handlebars': {
    'views/index.hbs': '{{visit}} TAG',
    'views/layouts/main.hbs': '{{{body}}}',
  },
  hbs: { 'views/index.hbs': '{{visit}} TAG' },
  handlebars: { 'views/index.hbs': '{{visit}} TAG' },
  eta: { 'views/index.eta': '<%= it.visit %> TAG' },
}

const printed: Readonly<Record<string, string>> = {
  nunjucks: 'visit {{ visit }}',
  'express-handlebars': 'visit {{visit}}',
  hbs: 'visit {{visit}}',
  handlebars: 'visit {{visit}}',
  eta: 'visit <%= it.visit %>',
}

/** The views of an engine, with the tag that init names. */
function viewsOf(engine: string, { template }: Result): Record<string, string> {
  const tag = (template ?? '').replace('…', printed[engine] ?? '')
  return Object.fromEntries(
    Object.entries(views[engine] ?? {}).map(([name, text]) => [name, text.replace('TAG', tag)]),
  )
}

async function add(app: string, files: Readonly<Record<string, string>>): Promise<void> {
  for (const [name, text] of Object.entries(files)) {
    await mkdir(dirname(join(app, name)), { recursive: true })
    await writeFile(join(app, name), text)
  }
}

const HIT = /^fragcache; hit; ttl=\d+$/

describe.each(Object.keys(views))('fragcache init in an Express application with %s', (engine) => {
  it.each([
    ['module', 'js'],
    ['commonjs', 'mjs'],
  ])('of type %s makes pages and parts of them hits', async (type, end) => {
    const app = await makeApp({ 'package.json': manifest(engine, type) })
    const result = await initJson(app)
    expect(result).toMatchObject({
      engine,
      written: [`fragcache.config.${end}`, `fragcache.setup.${end}`],
      kept: [],
      install: [],
    })
    const isModule = type === 'module'
    const code = appOf(result, { isModule })
    await add(app, { 'app.js': code, ...viewsOf(engine, result) })
    const paths = ['/parts', '/parts', '/', '/']
    const [part, other, page, again] = await visit(app, ['app.js'], paths)
    expect([part?.body, other?.body]).toEqual(['1 visit 1', '2 visit 1'])
    expect(page?.status).toBe('fragcache; fwd=uri-miss; stored')
    expect(again?.status).toMatch(HIT)
    expect(again?.body).toBe(page?.body)
  })

  it('with a tsconfig.json writes TypeScript that compiles strictly, and runs', async () => {
    const compilerOptions = {
      target: 'es2023',
      module: 'nodenext',
      strict: true,
      noEmit: true,
      skipLibCheck: true,
      types: ['node'],
    }
    const app = await makeApp({
      'package.json': manifest(engine, 'module'),
      'tsconfig.json': JSON.stringify({ compilerOptions, include: ['*.ts'] }),
    })
    const result = await initJson(app)
    expect(result.written).toEqual(['fragcache.config.ts', 'fragcache.setup.ts'])
    const code = appOf(result, { isModule: true })
    await add(app, { 'app.ts': code, ...viewsOf(engine, result) })
    const compiler = join(projectRoot, 'node_modules', 'typescript', 'bin', 'tsc')
    const compiled = await run(process.execPath, [compiler, '-p', '.'], app)
    expect(compiled).toEqual({ code: 0, out: '', error: '' })
    const answers = await visit(app, ['--import', 'tsx', 'app.ts'], ['/', '/'])
    expect(answers[1]?.status).toMatch(HIT)
  }, 120_000)
})

describe('fragcache init', () => {
  it('leaves every file that is there as it is, and says so', async () => {
    const app = await makeApp({
      'package.json': manifest('eta', 'module'),
      'fragcache.config.mjs': '// mine',
      'fragcache.setup.js': '// mine too',
    })
    const { code, out } = await init(app)
    expect(code).toBe(0)
    expect(out.split('\n').slice(0, 2)).toEqual([
      'fragcache.config.mjs already exists and was not changed',
      'fragcache.setup.js already exists and was not changed',
    ])
    expect(await readFile(join(app, 'fragcache.config.mjs'), 'utf8')).toBe('// mine')
    expect(await readFile(join(app, 'fragcache.setup.js'), 'utf8')).toBe('// mine too')
  })

  it('caches pages where it finds no engine, and names what has to be installed', async () => {
    const app = await makeApp({ 'package.json': '{ "dependencies": { "express": "5" } }' })
    const { code, out } = await init(app)
    expect(code).toBe(0)
    expect(out).toContain('Install:\n  npm install fragcache\n')
    expect(out).toContain("const { pages } = require('./fragcache.setup.mjs')")
    expect(out).toContain("// in an .mjs file: import { pages } from './fragcache.setup.mjs'")
    expect(out).toContain('No template engine was found in package.json')
    const check = "import('./fragcache.setup.mjs').then((found) => console.log(Object.keys(found)))"
    expect(await run(process.execPath, ['--eval', check], app)).toMatchObject({
      out: "[ 'caches', 'pages' ]",
    })
  })

  it.each([
    ['no package.json', {}, 'init: there is no package.json in '],
    ['one that is no JSON', { 'package.json': '{' }, 'package.json cannot be read: '],
    [
      'one without Express',
      { 'package.json': '{}' },
      'init: express is not among the dependencies',
    ],
  ])('answers 1 and writes nothing with %s', async (_, files, message) => {
    const app = await makeApp({ '.keep': '', ...files })
    const { code, out, error } = await init(app)
    expect({ code, out }).toEqual({ code: 1, out: '' })
    expect(error).toContain(message)
    expect((await run('ls', [], app)).out).toBe(Object.keys(files).join('\n'))
  })
})
