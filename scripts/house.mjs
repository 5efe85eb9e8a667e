// Measures how the code is laid out and compares it with what it should be.
//
//   node scripts/house.mjs [FOLDER]     prints the table; FOLDER is the project's own unless given
//   node scripts/house.mjs --check      fails where a goal is missed
import { resolve } from 'node:path'
import { fileURLToPath } from 'node:url'
import { circlesIn } from './house/circles.mjs'
import { classesOf } from './house/classes.mjs'
import { linesOfCode } from './house/lines.mjs'
import { Tree } from './house/tree.mjs'

const longest = 450

const sum = (numbers) => numbers.reduce((total, number) => total + number, 0)
const most = (classes, kind) =>
  classes.reduce((found, one) => (one[kind] > (found?.[kind] ?? 0) ? one : found), undefined)
const named = (one) => (one === undefined ? '' : `${one.name} (${one.file})`)

/** @returns {import('./house.mjs').House} */
export function measure(root) {
  const tree = new Tree(root)
  const circles = circlesIn(tree.imports())
  const longFiles = tree.files
    .map((file) => ({
      file: tree.name(file),
      lines: file.text.replace(/\n$/, '').split('\n').length,
    }))
    .filter(({ lines }) => lines > longest)
    .sort((a, b) => b.lines - a.lines)
  const classes = classesOf(tree)
  const methods = most(classes, 'methods')
  const fields = most(classes, 'fields')
  const linesIn = (isMeant) =>
    sum(tree.files.filter((file) => isMeant(tree.name(file))).map(linesOfCode))
  const row = (what, today, goal, where = '') => ({ what, today, goal, where })
  return {
    rows: [
      row('import circles, types included', circles.length, 0),
      row(`files over ${longest} lines`, longFiles.length, 0),
      row('most methods of a class', methods?.methods ?? 0, 25, named(methods)),
      row('most mutable fields of a class', fields?.fields ?? 0, 8, named(fields)),
      row(
        'lines of code without the inspector',
        linesIn((file) => !file.startsWith('adapters/inspector/')),
        27_000,
      ),
      row(
        'lines of code in adapters/express',
        linesIn((file) => file.startsWith('adapters/express/')),
        1_200,
      ),
    ],
    circles,
    longFiles,
  }
}

/** @param {import('./house.mjs').House} house */
export function report({ rows, circles, longFiles }) {
  const width = Math.max(...rows.map(({ what }) => what.length))
  const line = (what, today, goal, where) =>
    `${what.padEnd(width)}  ${String(today).padStart(6)}  ${String(goal).padStart(6)}  ${where}`.trimEnd()
  return [
    line('src and adapters', 'today', 'goal', ''),
    ...rows.map(({ what, today, goal, where }) => line(what, today, goal, where)),
    ...circles.map(
      ({ files, shortest }) => `\ncircle of ${files.length} files: ${shortest.join(' → ')}`,
    ),
    ...(longFiles.length === 0 ? [] : [`\nover ${longest} lines:`]),
    ...longFiles.map(({ file, lines }) => `${String(lines).padStart(6)}  ${file}`),
  ].join('\n')
}

/** @param {import('./house.mjs').House} house */
export const missed = ({ rows }) => rows.filter(({ today, goal }) => today > goal)

if (process.argv[1] === fileURLToPath(import.meta.url)) {
  const args = process.argv.slice(2)
  const folder = args.find((arg) => !arg.startsWith('--'))
  const house = measure(resolve(folder ?? fileURLToPath(new URL('..', import.meta.url))))
  console.log(report(house))
  if (args.includes('--check') && missed(house).length > 0) process.exitCode = 1
}
