import type { CacheTagError } from '../../src/errors.js'
import type { LocatedError } from './engine.js'

/** Most errors of tags that are remembered. */
const MAX_KNOWN = 100

const known = new Map<string, CacheTagError>()

export function isTagError(error: unknown): error is CacheTagError {
  return error instanceof Error && (error as Partial<CacheTagError>).code === 'FRAGCACHE_TAG'
}

/**
 * Remembers an error of a tag: the engine makes another of all that is thrown while it renders,
 * without code and cause, and {@link original} finds the first one again.
 *
 * @returns The error.
 */
export function remember(error: unknown): unknown {
  if (!isTagError(error)) return error
  known.delete(error.message)
  known.set(error.message, error)
  for (const oldest of known.keys()) {
    if (known.size <= MAX_KNOWN) break
    known.delete(oldest)
  }
  return error
}

/** Runs something and remembers the error of a tag that it throws. */
export function remembering<T>(action: () => T): T {
  try {
    return action()
  } catch (error) {
    throw remember(error)
  }
}

/** The error of the tag that the engine's error was made of, or the engine's own. */
export function original(error: Error): Error {
  if (isTagError(error)) return error
  const mark = 'CacheTagError: '
  const at = error.message.lastIndexOf(mark)
  return (at < 0 ? undefined : known.get(error.message.slice(at + mark.length))) ?? error
}

/**
 * Says in which template an error happened, in the engine's words.
 *
 * @param dev - The environment's option of this name.
 */
export function located(error: Error, path: string | undefined, dev: boolean): Error {
  const first = original(error)
  if (isTagError(first)) return first
  const { Update } = error as Partial<LocatedError>
  const { name, message } =
    typeof Update === 'function'
      ? Update.call(error, path)
      : {
          name: 'Template render error',
          message: `(${path ?? 'unknown path'})\n  ${error.name}: ${error.message}`,
        }
  if (dev && typeof Update === 'function') return error
  const shown = new Error(message, { cause: error })
  shown.name = name
  return shown
}
