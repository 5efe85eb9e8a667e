import { join } from 'node:path'
import ts from 'typescript'
import { inProject, type Sample } from './samples.js'

/** Where `fragcache/…` has its sources. */
const sources = {
  fragcache: ['./src/index.ts'],
  'fragcache/engine': ['./src/engine.ts'],
  'fragcache/testing': ['./test/conformance/index.ts'],
  ...Object.fromEntries(
    ['nunjucks', 'handlebars', 'eta', 'express', 'inspector', 'metrics'].map((name) => [
      `fragcache/${name}`,
      [`./adapters/${name}/index.ts`],
    ]),
  ),
  'fragcache/*': ['./src/backends/*.ts'],
}

/**
 * What the compiler says of samples, in one program, as strict as an application may be.
 *
 * @param whole - A sample with what is around it in an application.
 */
export function typeErrors(
  samples: readonly Sample[],
  whole: (sample: Sample) => string,
): ReadonlyMap<Sample, readonly string[]> {
  const files = new Map(
    samples.map((sample, index) => [inProject(`test/docs/sample-${index}.ts`), whole(sample)]),
  )
  const { options } = ts.convertCompilerOptionsFromJson(
    {
      target: 'es2023',
      module: 'nodenext',
      types: ['node'],
      strict: true,
      exactOptionalPropertyTypes: true,
      noUncheckedIndexedAccess: true,
      skipLibCheck: true,
      noEmit: true,
      paths: sources,
    },
    inProject('.'),
  )
  const host = ts.createCompilerHost(options)
  const { getSourceFile, fileExists, readFile } = host
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
      const file = program.getSourceFile(join(inProject('test/docs'), `sample-${index}.ts`))
      const found = [
        ...program.getSyntacticDiagnostics(file),
        ...program.getSemanticDiagnostics(file),
      ]
      return [sample, found.map((one) => ts.flattenDiagnosticMessageText(one.messageText, '\n'))]
    }),
  )
}
