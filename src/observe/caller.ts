/** Frames that are looked through: those of the package itself come first. */
const MAX_FRAMES = 50

/** Where this package's code lies, below its folder: built, or as its sources. */
const OWN_FOLDER = /^(.*[/\\])(?:dist|src)[/\\]/

/**
 * Where the application called this package, as `src/admin.ts:40`, relative to the working directory.
 *
 * @returns `undefined`: in production, where nobody should pay for it; and where it cannot be told, as in a bundle.
 */
export function callerPosition(): string | undefined {
  if (process.env['NODE_ENV'] === 'production') return undefined
  const limit = Error.stackTraceLimit
  Error.stackTraceLimit = MAX_FRAMES
  const stack = String(new Error().stack)
  Error.stackTraceLimit = limit
  const [own, ...callers] = stack.split('\n').map(toPosition).filter(isPosition)
  const root = own && OWN_FOLDER.exec(own.file)?.[1]
  if (root === undefined) return undefined
  const caller = callers.find(
    ({ file }) => !isOwn(file, root) && !/[/\\]node_modules[/\\]/.test(file),
  )
  if (caller === undefined) return undefined
  const directory = `${process.cwd()}/`
  const { file, line } = caller
  return `${file.startsWith(directory) ? file.slice(directory.length) : file}:${line}`
}

/** Whether a file is one of this package. In a bundle it is in the folder of the application's own. */
function isOwn(file: string, root: string): boolean {
  return file.startsWith(root) && /^(?:dist|src|adapters)[/\\]/.test(file.slice(root.length))
}

interface Position {
  readonly file: string
  readonly line: string
}

/** Reads a line of a stack; those of Node itself have no path. */
function toPosition(line: string): Position | undefined {
  const found =
    /(?:\(|\bat (?:async )?)(?:file:\/\/)?(\/[^()]+|[A-Za-z]:\\[^()]+):(\d+):\d+\)?$/.exec(line)
  if (found?.[1] === undefined || found[2] === undefined) return undefined
  return { file: decodeURI(found[1]), line: found[2] }
}

function isPosition(position: Position | undefined): position is Position {
  return position !== undefined
}
