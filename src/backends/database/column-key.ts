import { createHash } from 'node:crypto'
import { isPortable, MAX_KEY_BYTES } from '../../keys.js'

const HASHED = '#sha256:'
const HASH = HASHED.charCodeAt(0)

/**
 * The content of the column for a stored key or a key prefix: itself if it is at most 250 visible ASCII
 * characters, else its hash. So the column needs neither a certain encoding nor collation to be exact, takes
 * a key of any length, and never contains a NUL or a space at the end.
 */
export function toColumn(text: string): string {
  if (text === '' || (isPortable(text, MAX_KEY_BYTES) && text.charCodeAt(0) !== HASH)) return text
  return HASHED + createHash('sha256').update(text).digest('hex')
}

/** Characters that a column for {@link toColumn} must hold. */
export const COLUMN_LENGTH = MAX_KEY_BYTES
