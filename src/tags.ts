import { createHash, randomBytes } from 'node:crypto'
import { show } from './errors.js'

/**
 * Tags are version counters, never sets of keys. An entry is stored with the versions its tags had
 * before it was made; it is live while all of them are still current. A version is never used
 * twice, so an entry whose counter was lost is a miss for ever and nothing invalidated comes back.
 */
export type TagVersions = ReadonlyMap<string, string>

/** The tag all variants of a fragment carry. Not reachable by a tag of the user's. */
export function fragmentTag(name: string): string {
  return `f:${name}`
}

/** A user's tag as it is stored. */
export function userTag(tag: string): string {
  return `t:${tag}`
}

/**
 * Checks tags and turns them into their stored form.
 *
 * @throws TypeError: not a list of texts, or an empty text.
 */
export function checkTags(tags: unknown): readonly string[] {
  if (typeof tags === 'string' || !isIterable(tags)) {
    throw new TypeError(`tags: ${show(tags)} is no list of tags; give an array of texts`)
  }
  const stored: string[] = []
  for (const tag of tags) {
    if (typeof tag !== 'string' || tag === '' || !tag.isWellFormed()) {
      throw new TypeError(`tags: ${show(tag)} is no tag; give a text of at least one character`)
    }
    const one = userTag(tag)
    if (!stored.includes(one)) stored.push(one)
  }
  return stored
}

function isIterable(value: unknown): value is Iterable<unknown> {
  return typeof value === 'object' && value !== null && Symbol.iterator in value
}

/** The key of a tag's counter: always short and portable, whatever the tag is. */
export function tagKey(tag: string): string {
  return /^[\x21-\x7e]{1,120}$/.test(tag)
    ? `fragcache.tag.${tag}`
    : `fragcache.tag.md5.${createHash('md5').update(tag).digest('hex')}`
}

const writer = randomBytes(6).toString('base64url')
let issued = 0

/** A version that no other process, and no earlier run of this one, gives out. */
export function newTagVersion(): string {
  return `${writer}${Date.now().toString(36)}.${(issued++).toString(36)}`
}
