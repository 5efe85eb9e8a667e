import { messageOfError } from '../error-text.js'

/** Called in a way that the help text explains better than a stack would. */
export class UsageError extends Error {}

/** What cannot be done, in words that are all there is to say. */
export class CommandError extends Error {}

/**
 * What an error says to who gave a command: without the call to the store that failed, which is ours and
 * not theirs.
 */
export function errorLine(error: unknown): string {
  const message = messageOfError(error)
  // By its properties, since the application may have another copy of this package.
  const { backend, operation } = (error ?? {}) as Partial<Record<string, unknown>>
  if (typeof backend !== 'string' || typeof operation !== 'string') return message
  const before = `${backend}: ${operation} failed: `
  return message.startsWith(before) ? `${backend}: ${message.slice(before.length)}` : message
}
