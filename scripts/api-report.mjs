// Lists what every subpath exports, from the declarations of the build, into api/*.md, so that a change
// of a public name or type is seen in review.
//
//   node scripts/api-report.mjs             write api/*.md
//   node scripts/api-report.mjs --check     fail where they are not current
import { existsSync } from 'node:fs'
import { mkdir, readFile, readdir, rm, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import ts from 'typescript'
import { build, root } from './build.mjs'

const printer = ts.createPrinter({ removeComments: true })
const folder = join(root, 'api')

/** `.` and `./file` with the declaration file of each, the root first. */
async function entries() {
  const { name, exports } = JSON.parse(await readFile(join(root, 'package.json'), 'utf8'))
  return Object.entries(exports)
    .filter(([, target]) => target.types !== undefined)
    .map(([subpath, target]) => ({
      specifier: subpath === '.' ? name : `${name}/${subpath.slice(2)}`,
      report: `${subpath === '.' ? 'index' : subpath.slice(2)}.md`,
      declarations: join(root, target.types),
    }))
}

const isPrivate = (node) =>
  ts.isPrivateIdentifier(node.name ?? node) ||
  (ts.canHaveModifiers(node) &&
    ts.getModifiers(node)?.some(({ kind }) => kind === ts.SyntaxKind.PrivateKeyword) === true)

/** The declaration as users see it: without `export`, `declare`, comments and private members. */
function print(declaration) {
  const node = ts.isVariableDeclaration(declaration) ? declaration.parent.parent : declaration
  const strip = (context) => (statement) => {
    const visit = (child) => {
      if (ts.isClassElement(child) && isPrivate(child)) return undefined
      const { kind } = child
      if (kind === ts.SyntaxKind.ExportKeyword || kind === ts.SyntaxKind.DeclareKeyword) {
        return undefined
      }
      return ts.visitEachChild(child, visit, context)
    }
    return ts.visitNode(statement, visit)
  }
  const { transformed } = ts.transform(node, [strip])
  return printer.printNode(ts.EmitHint.Unspecified, transformed[0], node.getSourceFile())
}

function report(program, entry, root_) {
  const checker = program.getTypeChecker()
  const resolve = (symbol) =>
    symbol.flags & ts.SymbolFlags.Alias ? checker.getAliasedSymbol(symbol) : symbol
  const exportsOf = (file) => {
    const symbol = checker.getSymbolAtLocation(program.getSourceFile(file))
    if (symbol === undefined) throw new Error(`${file} exports nothing`)
    const found = checker.getExportsOfModule(symbol)
    return found.sort((a, b) => (a.name < b.name ? -1 : 1))
  }
  const isOurs = (declaration) =>
    declaration.getSourceFile().fileName.startsWith(join(root, 'dist').replaceAll('\\', '/'))

  const rootNames = new Map(exportsOf(root_.declarations).map((s) => [resolve(s), s.name]))
  const own = exportsOf(entry.declarations)
  const known = new Set([...rootNames.keys(), ...own.map(resolve)])
  const blocks = []
  const hidden = new Map()

  // A type that a public declaration names without exporting it belongs to the contract all the same.
  const collect = (node) => {
    if (ts.isClassElement(node) && isPrivate(node)) return
    if (ts.isIdentifier(node)) {
      const found = checker.getSymbolAtLocation(node)
      const symbol = found && resolve(found)
      const declarations = symbol?.declarations?.filter(
        (d) =>
          isOurs(d) &&
          (ts.isInterfaceDeclaration(d) ||
            ts.isTypeAliasDeclaration(d) ||
            ts.isClassDeclaration(d) ||
            ts.isEnumDeclaration(d)),
      )
      if (declarations?.length && !known.has(symbol)) {
        known.add(symbol)
        hidden.set(symbol.name, declarations.map(print).join('\n'))
        declarations.forEach(collect)
      }
    }
    ts.forEachChild(node, collect)
  }

  for (const exported of own) {
    const symbol = resolve(exported)
    const rootName = entry === root_ ? undefined : rootNames.get(symbol)
    if (rootName !== undefined) {
      blocks.push(`export { ${rootName} } from '${root_.specifier}'`)
      continue
    }
    const declarations = symbol.declarations ?? []
    const rename = exported.name === symbol.name ? '' : `// exported as ${exported.name}\n`
    blocks.push(rename + declarations.map(print).join('\n'))
    declarations.forEach(collect)
  }
  const parts = [
    `# ${entry.specifier}`,
    'Made by `npm run api` from the built declarations: do not edit.',
    `\`\`\`ts\n${blocks.join('\n\n')}\n\`\`\``,
  ]
  if (hidden.size > 0) {
    const texts = [...hidden.keys()].sort().map((name) => hidden.get(name))
    parts.push('## Named above, not exported', `\`\`\`ts\n${texts.join('\n\n')}\n\`\`\``)
  }
  return `${parts.join('\n\n')}\n`
}

async function main() {
  await build()
  const all = await entries()
  const files = all.map(({ declarations }) => declarations)
  const missing = files.find((file) => !existsSync(file))
  if (missing !== undefined) throw new Error(`package.json exports ${missing}, which is not built`)
  const options = {
    target: ts.ScriptTarget.ES2023,
    module: ts.ModuleKind.NodeNext,
    moduleResolution: ts.ModuleResolutionKind.NodeNext,
    types: ['node'],
    strict: true,
    noEmit: true,
  }
  const program = ts.createProgram(files, options)
  const reports = new Map(all.map((entry) => [entry.report, report(program, entry, all[0])]))

  await mkdir(folder, { recursive: true })
  const present = (await readdir(folder)).filter((file) => file.endsWith('.md'))
  if (process.argv.includes('--check')) {
    for (const [file, text] of reports) {
      const recorded = present.includes(file) ? await readFile(join(folder, file), 'utf8') : ''
      if (recorded === text) continue
      console.error(`api/${file} is not current: npm run api, and look at the difference`)
      process.exitCode = 1
    }
  } else {
    for (const [file, text] of reports) await writeFile(join(folder, file), text)
  }
  for (const file of present.filter((name) => !reports.has(name))) {
    if (process.argv.includes('--check')) {
      console.error(`api/${file} belongs to no subpath: npm run api`)
      process.exitCode = 1
    } else {
      await rm(join(folder, file))
    }
  }
}

try {
  await main()
} catch (error) {
  console.error(error.message)
  process.exitCode = 1
}
