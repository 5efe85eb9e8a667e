// The sources of src and adapters as the compiler reads them, and who imports whom.
import { existsSync, readdirSync } from 'node:fs'
import { join, relative, sep } from 'node:path'
import ts from 'typescript'

const options = {
  allowJs: true,
  module: ts.ModuleKind.NodeNext,
  moduleResolution: ts.ModuleResolutionKind.NodeNext,
  target: ts.ScriptTarget.ES2023,
  // Nothing is checked: the library's types and those of packages would only take time.
  noLib: true,
  types: [],
}

/** The paths of all code under `folder` of `root`. */
export function codeIn(root, folder) {
  if (!existsSync(join(root, folder))) return []
  return readdirSync(join(root, folder), { recursive: true })
    .filter((file) => /\.(ts|js|mjs)$/.test(file))
    .map((file) => join(root, folder, file))
    .sort()
}

export class Tree {
  /** @param {string} root - The folder of the project. */
  constructor(root) {
    this.root = root
    this.paths = [...codeIn(root, 'src'), ...codeIn(root, 'adapters')]
    this.program = ts.createProgram(this.paths, options)
    this.files = this.paths.map((path) => this.program.getSourceFile(path))
  }

  /** The path of a file within the project, with slashes. */
  name(file) {
    return relative(this.root, file.fileName).split(sep).join('/')
  }

  /** Whom each file imports, by its name; imports of types are imports too. */
  imports() {
    const names = new Set(this.files.map((file) => this.name(file)))
    return new Map(
      this.files.map((file) => {
        const found = specifiersOf(file)
          .filter((specifier) => specifier.startsWith('.'))
          .map((specifier) => ts.resolveModuleName(specifier, file.fileName, options, ts.sys))
          .flatMap(({ resolvedModule: module }) =>
            module === undefined ? [] : [this.name({ fileName: module.resolvedFileName })],
          )
        return [this.name(file), [...new Set(found)].filter((name) => names.has(name))]
      }),
    )
  }
}

/** What a file imports, in each of the ways there are. */
function specifiersOf(file) {
  const found = []
  const visit = (node) => {
    if (ts.isImportDeclaration(node) || ts.isExportDeclaration(node)) {
      found.push(node.moduleSpecifier)
    } else if (ts.isCallExpression(node) && node.expression.kind === ts.SyntaxKind.ImportKeyword) {
      found.push(node.arguments[0])
    } else if (ts.isImportTypeNode(node)) {
      found.push(node.argument.literal)
    }
    ts.forEachChild(node, visit)
  }
  visit(file)
  return found.flatMap((node) => (node && ts.isStringLiteralLike(node) ? [node.text] : []))
}
