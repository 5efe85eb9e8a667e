/** What an error says, as `String` spells it; never throwing, whatever was thrown. */
export function textOfError(error: unknown): string {
  try {
    return String(error)
  } catch {
    return NOTHING_SAID
  }
}

/** The message of an error, without its name; of anything else its text. Never throwing. */
export function messageOfError(error: unknown): string {
  if (!(error instanceof Error)) return textOfError(error)
  try {
    // Some put other things there than the texts that belong there.
    const message: unknown = error.message
    return typeof message === 'string' ? message : textOfError(error)
  } catch {
    return NOTHING_SAID
  }
}

const NOTHING_SAID = 'an error without a text'
