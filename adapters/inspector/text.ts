import { messageOfError } from '../../src/error-text.js'

const MAX_TEXT = 1000

/** A text that somebody else made, short enough for a table of them. */
export function cutText(text: string, limit = MAX_TEXT): string {
  if (text.length <= limit) return text
  const isHigh = /[\uD800-\uDBFF]/.test(text[limit - 1] ?? '')
  return `${text.slice(0, isHigh ? limit - 1 : limit)}…`
}

/** What an error says. */
export function errorText(error: unknown): string {
  return cutText(messageOfError(error))
}
