import { headerLines, trimmedPart, type HeaderValue } from './header-values.js'

/**
 * Characters of a header that are read as a list. nginx and Apache, as they come, refuse longer ones
 * (`large_client_header_buffers` of 8 kB, `LimitRequestFieldSize` of 8190 bytes).
 */
export const MAX_FIELD_LENGTH = 8192

/**
 * Members of a list that are read. A `Vary` names headers, and Apache, as it comes, takes 100 of a
 * request (`LimitRequestFields`); the other lists have fewer members.
 */
export const MAX_MEMBERS = 100

/** Whether a header has more characters than are read of a list. */
export function isTooLong(value: HeaderValue | undefined): boolean {
  // Joined by ", " several lines are one.
  return headerLines(value).reduce((sum, line) => sum + line.length + 2, -2) > MAX_FIELD_LENGTH
}

/**
 * The members of a list whose grammar knows no quotes, as written, without the blanks around them.
 * Empty ones are left out.
 *
 * @param most - Ends once there are more.
 * @see RFC 9110 §5.6.1
 */
export function listMembers(value: HeaderValue | undefined, most = Infinity): readonly string[] {
  const members: string[] = []
  for (const line of headerLines(value)) {
    for (let start = 0; start <= line.length && members.length <= most;) {
      const comma = line.indexOf(',', start)
      const end = comma === -1 ? line.length : comma
      addMember(members, line, start, end)
      start = end + 1
    }
  }
  return members
}

/**
 * {@link listMembers} within bounds, so that what reading costs is bounded too.
 *
 * @returns `undefined`: it has more than 8192 characters, or more than 100 members that are not
 *   empty. What that means is for the caller to say, and it has to be the safe thing.
 * @see RFC 9110 §17.5 (attacks via protocol element length)
 */
export function readList(value: HeaderValue | undefined): readonly string[] | undefined {
  if (isTooLong(value)) return undefined
  const members = listMembers(value, MAX_MEMBERS)
  return members.length > MAX_MEMBERS ? undefined : members
}

/** A line of a list whose members may have quoted strings in them. */
export interface QuotedList {
  /** As {@link listMembers}. */
  readonly members: readonly string[]
  /** A quote was not closed: what follows it, commas too, is part of the last member. */
  readonly openQuote: boolean
}

const QUOTE = 0x22
const COMMA = 0x2c
const BACKSLASH = 0x5c

/**
 * Splits at commas outside of quoted strings.
 *
 * @param most - Ends once there are more members.
 * @see RFC 9110 §5.6.1, §5.6.4
 */
export function splitQuotedList(line: string, most = Infinity): QuotedList {
  const members: string[] = []
  let start = 0
  let openQuote = false
  for (let i = 0; i < line.length && members.length <= most; i++) {
    const code = line.charCodeAt(i)
    if (code === QUOTE) openQuote = !openQuote
    else if (code === BACKSLASH && openQuote) i++
    else if (code === COMMA && !openQuote) {
      addMember(members, line, start, i)
      start = i + 1
    }
  }
  addMember(members, line, start, line.length)
  return { members, openQuote }
}

function addMember(members: string[], line: string, from: number, to: number): void {
  const member = trimmedPart(line, from, to)
  if (member !== '') members.push(member)
}
