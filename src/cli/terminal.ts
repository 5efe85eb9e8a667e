import { BIDI } from '../visible-json.js'

export { toVisibleJson as toJson } from '../visible-json.js'

/** Where the command line tool writes; a test hands in its own. */
export interface CliOutput {
  /** The result, and nothing else. A line, or several. */
  readonly out: (text: string) => void
  /** Messages. */
  readonly error: (text: string) => void
  /** Whether a person looks at the result as it comes. Default `false`. */
  readonly isTerminal?: boolean | undefined
  /** Returns what ends a command that runs until it is interrupted. Omitted: nothing does. */
  readonly untilInterrupted?: (() => AbortSignal) | undefined
}

/** Exit codes, as `fragcache --help` lists them. */
export const EXIT_DONE = 0
export const EXIT_FAILED = 1
export const EXIT_MISUSED = 2

export type ExitCode = typeof EXIT_DONE | typeof EXIT_FAILED | typeof EXIT_MISUSED

/** Columns that a table and a paragraph keep to. */
export const WIDTH = 80

/** What a terminal obeys instead of showing it; of control characters all but tab and line feed. */
const OBEYED = new RegExp(`[\\x00-\\x08\\x0b-\\x1f\\x7f-\\x9f${BIDI}]`, 'g')

/** A text that a terminal shows as it is, lines and tabs kept. */
export function visible(text: string): string {
  return text.replace(OBEYED, (character) => {
    const code = character.charCodeAt(0)
    return code < 0x100
      ? `\\x${code.toString(16).padStart(2, '0')}`
      : `\\u${code.toString(16).padStart(4, '0')}`
  })
}

/** A name on one line. */
export function visibleName(text: string): string {
  return visible(text).replace(/[\n\t]/g, (character) => (character === '\n' ? '\\n' : '\\t'))
}

/** A column of a table. */
export interface Column {
  readonly title: string
  /** Numbers are aligned below one another by their last digit. Default `false`. */
  readonly isNumber?: boolean
}

/** Aligned columns, two spaces apart, without lines: as plain as `ps`. */
export function table(columns: readonly Column[], rows: readonly (readonly string[])[]): string {
  const shown = rows.map((row) => row.map(visibleName))
  const lines = [columns.map(({ title }) => title), ...shown]
  const widths = columns.map((_, i) => Math.max(...lines.map((line) => widthOf(line[i] ?? ''))))
  return lines
    .map((line) =>
      columns
        .map(({ isNumber = false }, i) => {
          const cell = line[i] ?? ''
          const room = ' '.repeat(Math.max(0, (widths[i] ?? 0) - widthOf(cell)))
          return isNumber ? room + cell : cell + room
        })
        .join('  ')
        .trimEnd(),
    )
    .join('\n')
}

/** Characters as a person counts them, near enough. */
function widthOf(text: string): number {
  return [...text].length
}

/** A text in lines of at most {@link WIDTH} columns, the first after a prefix, the others below it. */
export function wrap(prefix: string, text: string): string {
  const indent = ' '.repeat(widthOf(prefix))
  const lines: string[] = []
  let line = ''
  for (const word of text.split(/\s+/)) {
    if (line !== '' && indent.length + widthOf(line) + 1 + widthOf(word) > WIDTH) {
      lines.push(line)
      line = word
    } else {
      line = line === '' ? word : `${line} ${word}`
    }
  }
  return [...lines, line].map((one, i) => (i === 0 ? prefix : indent) + one).join('\n')
}

const UNITS = ['B', 'kB', 'MB', 'GB', 'TB'] as const

/** Bytes as people read them: `1.5 MB` are 1.5 times 1024 times 1024. */
export function showBytes(bytes: number | undefined): string {
  if (bytes === undefined) return '-'
  let [size, unit] = [bytes, 0]
  while (size >= 1024 && unit < UNITS.length - 1) {
    size /= 1024
    unit++
  }
  return `${unit === 0 || size >= 100 ? Math.round(size) : size.toFixed(1)} ${UNITS[unit]}`
}

/** A whole number with its thousands apart. */
export function showCount(count: number | undefined): string {
  return count === undefined ? '-' : count.toLocaleString('en-US')
}

/** Seconds as people read them, in the one unit that tells most. */
export function showDuration(seconds: number | undefined): string {
  if (seconds === undefined) return '-'
  if (seconds < 120) return `${Math.round(seconds)} s`
  if (seconds < 2 * 3600) return `${Math.round(seconds / 60)} min`
  if (seconds < 2 * 86_400) return `${Math.round(seconds / 3600)} h`
  return `${Math.round(seconds / 86_400)} d`
}
