import { dirname, join } from 'node:path'
import ts from 'typescript'
import { inProject, type Sample } from './samples.js'

/** Where `fragcache/…` has its sources. */
const sources = {
  fragcache: ['./src/index.ts'],
  'fragcache/engine': ['./src/engine.ts'],
  'fragcache/testing': ['./test/conformance/index.ts'],
  ...Object.fromEntries(
    ['nunjucks', 'handlebars', 'eta', 'express', 'node', 'inspector', 'metrics'].map((name) => [
      `fragcache/${name}`,
      [`./adapters/${name}/index.ts`],
    ]),
  ),
  'fragcache/*': ['./src/backends/*.ts'],
}

/** Packages that have no types of their own: a sample may import them all the same. */
const untyped = ['apicache', 'express-cache-controller']

/**
 * What the compiler says of samples, in one program, as strict as an application may be.
 *
 * @param whole - A sample with what is around it in an application.
 */
export function typeErrors(
  samples: readonly Sample[],
  whole: (sample: Sample) => string,
): ReadonlyMap<Sample, readonly string[]> {
  const names = namesOf(samples)
  const files = new Map(samples.map((sample, i) => [names[i] as string, whole(sample)]))
  const declarations = inProject('test/docs/untyped.d.ts')
  files.set(declarations, untyped.map((name) => `declare module '${name}'\n`).join(''))
  const { options } = ts.convertCompilerOptionsFromJson(
    {
      target: 'es2023',
      module: 'nodenext',
      types: ['node'],
      strict: true,
      exactOptionalPropertyTypes: true,
      noUncheckedIndexedAccess: true,
      skipLibCheck: true,
      allowJs: true,
      checkJs: true,
      noEmit: true,
      paths: sources,
    },
    inProject('.'),
  )
  const host = ts.createCompilerHost(options)
  const { getSourceFile, fileExists, readFile, directoryExists } = host
  const folders = new Set([...files.keys()].map((name) => dirname(name)))
  host.directoryExists = (name) => folders.has(name) || directoryExists?.(name) === true
  host.fileExists = (name) => files.has(name) || fileExists(name)
  host.readFile = (name) => files.get(name) ?? readFile(name)
  host.getSourceFile = (name, language, ...rest) => {
    const text = files.get(name)
    return text === undefined
      ? getSourceFile(name, language, ...rest)
      : ts.createSourceFile(name, text, language)
  }
  const program = ts.createProgram([...files.keys()], options, host)
  return new Map(
    samples.map((sample, index) => {
      const file = program.getSourceFile(names[index] as string)
      const found = [
        ...program.getSyntacticDiagnostics(file),
        ...program.getSemanticDiagnostics(file),
      ]
      return [sample, found.map((one) => ts.flattenDiagnosticMessageText(one.messageText, '\n'))]
    }),
  )
}

/** Where a page has its reader save what it shows, beside files that it does not show. */
const places: Readonly<Record<string, string>> = {
  'docs/engines-of-your-own.md': 'examples/liquid',
}

/** A folder for each page, where a file that it names has its name once; modules of JavaScript as TypeScript's. */
function namesOf(samples: readonly Sample[]): string[] {
  const taken = new Set<string>()
  return samples.map(({ page, file, code }, i) => {
    const folder = inProject(places[page] ?? `test/docs/samples of ${page.replaceAll('/', ' ')}`)
    // One that says its types in comments stays what it is.
    const kind = code.includes('@param {') ? 'mjs' : 'mts'
    const named = file && join(folder, file.replace(/\.(m?)js$/, '.$1ts'))
    const name = named === undefined || taken.has(named) ? join(folder, `${i}.${kind}`) : named
    taken.add(name)
    return name
  })
}
