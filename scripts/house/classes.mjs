import ts from 'typescript'

const has = (node, kind) => node.modifiers?.some((modifier) => modifier.kind === kind) === true
const isReadonly = (node) => has(node, ts.SyntaxKind.ReadonlyKeyword)

/** A function that a field holds from the start is a method by another spelling. */
const isFunction = ({ initializer }) =>
  initializer !== undefined &&
  (ts.isArrowFunction(initializer) || ts.isFunctionExpression(initializer))

/** The names of methods and accessors, and of fields that may change, that a class itself has. */
function ownMembers(node) {
  const methods = new Set()
  const fields = new Set()
  for (const member of node.members) {
    if (ts.isConstructorDeclaration(member)) {
      // Parameters with a modifier are fields.
      for (const parameter of member.parameters) {
        if (ts.isParameterPropertyDeclaration(parameter, member) && !isReadonly(parameter)) {
          fields.add(parameter.name.getText())
        }
      }
      continue
    }
    if (member.name === undefined) continue
    const isStatic = has(member, ts.SyntaxKind.StaticKeyword)
    const name = `${isStatic ? 'static ' : ''}${member.name.getText()}`
    if (ts.isMethodDeclaration(member) || ts.isAccessor(member)) methods.add(name)
    else if (!ts.isPropertyDeclaration(member)) continue
    else if (isFunction(member)) methods.add(name)
    else if (!isReadonly(member)) fields.add(name)
  }
  return { methods, fields }
}

/** The class that `node` extends, if it is of this tree. */
function parentOf(node, checker) {
  const clause = node.heritageClauses?.find(({ token }) => token === ts.SyntaxKind.ExtendsKeyword)
  if (clause === undefined) return undefined
  const symbol = checker.getSymbolAtLocation(clause.types[0].expression)
  if (symbol === undefined) return undefined
  const meant = symbol.flags & ts.SymbolFlags.Alias ? checker.getAliasedSymbol(symbol) : symbol
  return meant.declarations?.find(ts.isClassLike)
}

/** Members by name, with those of all parents: one that is overridden counts once. */
function allMembers(node, checker, isOurs) {
  const { methods, fields } = ownMembers(node)
  const parent = parentOf(node, checker)
  if (parent === undefined || !isOurs(parent)) return { methods, fields }
  const inherited = allMembers(parent, checker, isOurs)
  return {
    methods: new Set([...methods, ...inherited.methods]),
    fields: new Set([...fields, ...inherited.fields]),
  }
}

/** Every class of the tree, with how many methods and mutable fields it has. */
export function classesOf(tree) {
  const checker = tree.program.getTypeChecker()
  const files = new Set(tree.files)
  const isOurs = (node) => files.has(node.getSourceFile())
  const found = []
  for (const file of tree.files) {
    const visit = (node) => {
      if (ts.isClassLike(node)) {
        const { methods, fields } = allMembers(node, checker, isOurs)
        found.push({
          name: node.name?.text ?? '(class without a name)',
          file: tree.name(file),
          methods: methods.size,
          fields: fields.size,
        })
      }
      ts.forEachChild(node, visit)
    }
    visit(file)
  }
  return found
}
