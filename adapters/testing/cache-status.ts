import { splitQuotedList } from '../../src/http/lists.js'

/** What `Cache-Status` says of one cache. @see RFC 9211 §2 */
export interface Handled {
  /** As in the header. */
  readonly member: string
  readonly name: string
  readonly isHit: boolean
  readonly parameters: ReadonlyMap<string, string>
}

/** What this package calls itself in `Cache-Status`. */
export const OWN_NAME = 'fragcache'

/** What `Cache-Status` says: of all caches on the way, and of those of this package. */
export function readCacheStatus(header: string | undefined): {
  readonly all: readonly Handled[]
  readonly own: readonly Handled[]
} {
  const all = splitQuotedList(header ?? '').members.map(toHandled)
  return { all, own: all.filter(({ name }) => name === OWN_NAME) }
}

function toHandled(member: string): Handled {
  const [name = '', ...texts] = member.split(';')
  const parameters = new Map(
    texts.map((text) => {
      const [key = '', ...value] = text.split('=')
      return [key.trim(), value.join('=').trim()]
    }),
  )
  return { member, name: name.trim(), isHit: parameters.has('hit'), parameters }
}
