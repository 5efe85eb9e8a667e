import ts from 'typescript'

/** How many lines of a file are neither blank nor comment alone. */
export function linesOfCode(file) {
  const lines = new Set()
  const visit = (node) => {
    if (ts.isJSDoc(node)) return
    const children = node.getChildren(file)
    if (children.length > 0) {
      for (const child of children) visit(child)
      return
    }
    const start = node.getStart(file)
    if (node.end <= start) return
    const from = file.getLineAndCharacterOfPosition(start).line
    const to = file.getLineAndCharacterOfPosition(node.end).line
    for (let line = from; line <= to; line++) lines.add(line)
  }
  visit(file)
  const texts = file.text.split('\n')
  return [...lines].filter((line) => texts[line].trim() !== '').length
}
