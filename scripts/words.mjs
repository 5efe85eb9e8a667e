// Holds pages, messages, comments and names to the words and phrases of docs/words.md.
//
//   node scripts/words.mjs        fails where a text uses a word or a phrase that the page lists under "not", or
//                                 where one exported name has two meanings
import { readdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import ts from 'typescript'
import { Tree } from './house/tree.mjs'

const PAGE = 'docs/words.md'

/** Where the phrases begin. */
const PHRASES = '\n## Phrases\n'

/** The last column of a page's tables, each word with the one to use instead. */
function lastColumn(tables) {
  const words = new Map()
  for (const line of tables.split('\n')) {
    const cells = line.split('|').map((cell) => cell.trim())
    if (cells.length !== 5 || ['word', 'say'].includes(cells[1]) || /^-+$/.test(cells[1])) continue
    const [, word, , others] = cells
    for (const other of others.split(',')) if (other.trim() !== '') words.set(other.trim(), word)
  }
  return words
}

/** What names and entries of the changelog do not say. */
export function wordsOf(page) {
  return lastColumn(page.split(PHRASES)[0])
}

/** What pages, messages and comments do not say, words included. */
export function phrasesOf(page) {
  return lastColumn(page)
}

/** A page without its code, which uses names that others chose. The marks stay: no phrase goes across them. */
function prose(page) {
  return page
    .replaceAll(/^```[^]*?^```/gm, (code) => code.replaceAll(/[^\n]/g, ''))
    .replaceAll(/`[^`\n]*`/g, '``')
}

/** Between two words of a phrase: a line may end there, in a list, a quotation or a comment too. */
const GAP = '\\s+(?:(?:\\*|//|>)[ \\t]+)?'

/** The words and phrases in a page that it has others for, each on the line where it begins. */
export function faultsInWords(page, words) {
  const text = prose(page)
  const found = []
  for (const [word, better] of words) {
    const spoken = word.split(' ').join(GAP)
    for (const { index } of text.matchAll(new RegExp(`(?<![\\w-])${spoken}s?(?![\\w-])`, 'gi'))) {
      found.push({ line: text.slice(0, index).split('\n').length, word, better })
    }
  }
  return found.sort((one, other) => one.line - other.line)
}

/** Parts of strings and templates. */
const TEXTS = new Set([
  ts.SyntaxKind.StringLiteral,
  ts.SyntaxKind.NoSubstitutionTemplateLiteral,
  ts.SyntaxKind.TemplateHead,
  ts.SyntaxKind.TemplateMiddle,
  ts.SyntaxKind.TemplateTail,
])

/** A file's text where `keeps` wants a part of it, and as many lines as it has. */
function partsOf(file, keeps) {
  const { text } = file
  const kept = [...text.replaceAll(/[^\n]/g, ' ')]
  const keep = ({ pos, end }) => {
    for (let i = pos; i < end; i++) kept[i] = text[i]
  }
  const visit = (node) => {
    const children = node.getChildren(file)
    // What is in front of a token belongs to it, and not also to everything that begins with it.
    if (children.length > 0) return children.forEach(visit)
    keeps(node, keep)
  }
  visit(file)
  return kept.join('')
}

/** The messages of a file, each on its lines. */
export function messagesIn(file) {
  return partsOf(file, (node, keep) => {
    // Fewer words are a name, or a part of a protocol. Its quotes are no marks of code.
    if (TEXTS.has(node.kind) && node.text.trim().split(' ').length > 2)
      keep({ pos: node.getStart(file) + 1, end: node.getEnd() - 1 })
  })
}

/** The comments of a file, each on its lines. */
export function commentsIn(file) {
  return partsOf(file, (node, keep) => {
    ts.getLeadingCommentRanges(file.text, node.getFullStart())?.forEach(keep)
    ts.getTrailingCommentRanges(file.text, node.getEnd())?.forEach(keep)
  })
}

/** `CacheItemStore` and `cache_item` as words: `cache item store`. */
function spoken(name) {
  return name
    .replaceAll(/([a-z\d])([A-Z])/g, '$1 $2')
    .replaceAll(/(?<=[A-Z])(?=[A-Z][a-z])/g, ' ')
    .replaceAll('_', ' ')
}

/** The names that a file itself exports. */
function exportsOf(file) {
  const names = []
  for (const statement of file.statements) {
    const isExported = statement.modifiers?.some(({ kind }) => kind === ts.SyntaxKind.ExportKeyword)
    if (isExported !== true) continue
    if (ts.isVariableStatement(statement)) {
      for (const { name } of statement.declarationList.declarations) names.push(name.getText(file))
    } else if (statement.name !== undefined) names.push(statement.name.text)
  }
  // Overloads, and a type beside its value, are one thing.
  return [...new Set(names)]
}

/**
 * Which part of the house a file lies in: the code of one store, of one engine, of the command line; else all
 * that those stand on.
 */
function roomOf(path) {
  return /^(src\/backends\/[^/.]+|src\/cli|adapters\/[^/]+)/.exec(path)?.[1] ?? 'src'
}

/** Rooms that do not know each other may call what is alike in them by one name. */
function doMeet(room, other) {
  if (room === other || room === 'src' || other === 'src') return true
  return room === 'adapters/express' && other === 'adapters/node'
}

/** Names that applications import and that are older than this check. */
const KEPT = new Set(['InvalidateOptions'])

/** What an application imports has one name behind each door. */
const DOORS = /^adapters\/(node|express)\//

/** Faults in the names that files export. */
export function faultsInNames(files, words) {
  const faults = []
  const owners = new Map()
  for (const { path, names } of files) {
    for (const name of names) {
      const others = owners.get(name) ?? []
      for (const other of KEPT.has(name) ? [] : others) {
        if (!doMeet(roomOf(path), roomOf(other)) && !doMeet(roomOf(other), roomOf(path))) continue
        if (DOORS.test(path) && DOORS.test(other) && roomOf(path) !== roomOf(other)) continue
        faults.push(`${path}: ${name} is also exported by ${other}: two things with one name`)
      }
      owners.set(name, [...others, path])
      for (const { word, better } of faultsInWords(spoken(name), words)) {
        faults.push(`${path}: ${name}: say "${better}", not "${word}" (${PAGE})`)
      }
    }
  }
  return faults
}

/** All faults of the project in a folder. */
export function faultsIn(root) {
  const page = readFileSync(join(root, PAGE), 'utf8')
  const [words, phrases] = [wordsOf(page), phrasesOf(page)]
  const tree = new Tree(root)
  const sources = tree.files.filter((file) => /\.ts$/.test(file.fileName))
  const faults = faultsInNames(
    sources.map((file) => ({ path: tree.name(file), names: exportsOf(file) })),
    words,
  )
  const look = (path, text, not) => {
    for (const { line, word, better } of faultsInWords(text, not)) {
      faults.push(`${path}:${line}: say "${better}", not "${word}" (${PAGE})`)
    }
  }
  for (const file of tree.files) {
    look(tree.name(file), commentsIn(file), phrases)
    look(tree.name(file), messagesIn(file), phrases)
  }
  const pages = readdirSync(join(root, 'docs'), { recursive: true })
    .filter((path) => path.endsWith('.md') && join('docs', path) !== PAGE)
    .filter((path) => !/^public|node_modules/.test(path))
    .map((path) => join('docs', path))
  for (const path of ['README.md', 'CONTRIBUTING.md', 'SECURITY.md', ...pages]) {
    look(path, readFileSync(join(root, path), 'utf8'), phrases)
  }
  // Entries of earlier releases stay as they were written.
  look('CHANGELOG.md', readFileSync(join(root, 'CHANGELOG.md'), 'utf8'), words)
  return faults
}

if (process.argv[1] === fileURLToPath(import.meta.url)) {
  const faults = faultsIn(fileURLToPath(new URL('..', import.meta.url)))
  for (const fault of faults) process.stderr.write(`${fault}\n`)
  if (faults.length > 0) process.exitCode = 1
}
