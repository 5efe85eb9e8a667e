/** From one character of a text up to another, which is not part of it. */
export interface Span {
  readonly start: number
  readonly end: number
}

/** What is known of an HTML text: where a browser's parser would take a comment for a comment. */
export interface Scan {
  /** Tags, comments, scripts and the like, in order. Inside of one nothing can be put in. */
  readonly closed: readonly Span[]
  /** Where scripts can be added; `undefined`: nowhere, the text ends inside of something. */
  readonly end: number | undefined
  /** What `meta` elements say of the content security policy. */
  readonly policies: readonly string[]
}

/** Elements whose content is no markup, to a browser that runs scripts. */
const RAW: ReadonlySet<string> = new Set([
  'script',
  'style',
  'title',
  'textarea',
  'xmp',
  'iframe',
  'noembed',
  'noframes',
  'noscript',
])

/** They hold markup of another kind, where an element may end by itself. */
const FOREIGN: ReadonlySet<string> = new Set(['svg', 'math'])

interface Tag {
  readonly name: string
  readonly end: number
  readonly attributes: ReadonlyMap<string, string>
  readonly isSelfClosing: boolean
}

/**
 * Reads an HTML text as a browser's tokenizer does. Where that depends on the tree that a browser would
 * build, it takes for closed what may be.
 *
 * @see HTML, "Tokenization"
 */
export function scanHtml(html: string): Scan {
  const closed: Span[] = []
  const policies: string[] = []
  let bodyEnd: number | undefined
  let foreign = 0
  // What is in a template is in no page: scripts copy it, and marks in it would come along.
  let templates = 0
  let templateStart = 0
  let at = html.indexOf('<')
  while (at >= 0) {
    let start = at
    let end: number | undefined
    const next = html[at + 1] ?? ''
    if (next === '!') end = endOfDeclaration(html, at)
    else if (next === '?') end = after(html, '>', at)
    else if (next === '/') {
      if (!isLetter(html[at + 2])) end = after(html, '>', at)
      else {
        const tag = readTag(html, at + 2)
        end = tag?.end
        const isPagesEnd = tag?.name === 'body' || (tag?.name === 'html' && bodyEnd === undefined)
        if (isPagesEnd && templates === 0) bodyEnd = start
        if (tag?.name === 'template' && templates > 0 && --templates === 0) start = templateStart
        if (tag !== undefined && FOREIGN.has(tag.name) && foreign > 0) foreign--
      }
    } else if (isLetter(next)) {
      const tag = readTag(html, at + 1)
      end = tag?.end
      if (tag !== undefined) {
        const endsItself = foreign > 0 && tag.isSelfClosing
        if (tag.name === 'template' && foreign === 0 && templates++ === 0) templateStart = start
        if (FOREIGN.has(tag.name) && !tag.isSelfClosing) foreign++
        else if (tag.name === 'plaintext' && foreign === 0) end = undefined
        else if (RAW.has(tag.name) && !endsItself) end = endOfRaw(html, tag)
        if (tag.name === 'meta' && templates === 0) addPolicy(tag, policies)
      }
    } else {
      // A sign, not a tag.
      at = html.indexOf('<', at + 1)
      continue
    }
    if (end === undefined) {
      closed.push({ start: templates > 0 ? templateStart : start, end: html.length + 1 })
      return { closed, end: bodyEnd, policies }
    }
    if (templates === 0) closed.push({ start, end })
    at = html.indexOf('<', end)
  }
  if (templates > 0) {
    closed.push({ start: templateStart, end: html.length + 1 })
    return { closed, end: bodyEnd, policies }
  }
  return { closed, end: bodyEnd ?? html.length, policies }
}

/** Whether a comment can be put in between two characters. */
export function isOpen({ closed }: Scan, position: number): boolean {
  let low = 0
  let high = closed.length
  while (low < high) {
    const middle = (low + high) >> 1
    if ((closed[middle] as Span).end <= position) low = middle + 1
    else high = middle
  }
  const span = closed[low]
  return span === undefined || span.start >= position
}

function isLetter(character: string | undefined): boolean {
  return character !== undefined && /[a-z]/i.test(character)
}

function after(html: string, mark: string, from: number): number | undefined {
  const at = html.indexOf(mark, from)
  return at < 0 ? undefined : at + mark.length
}

function endOfDeclaration(html: string, at: number): number | undefined {
  if (html.startsWith('<!--', at)) {
    if (html[at + 4] === '>') return at + 5
    if (html.startsWith('->', at + 4)) return at + 6
    const end = /--!?>/g
    end.lastIndex = at + 4
    return end.exec(html) === null ? undefined : end.lastIndex
  }
  if (html.startsWith('<![CDATA[', at)) return after(html, ']]>', at) ?? after(html, '>', at)
  return after(html, '>', at)
}

/** @param at - Where the name begins. @returns `undefined`: the text ends inside of it. */
function readTag(html: string, at: number): Tag | undefined {
  const nameEnd = firstOf(html, /[\s/>]/g, at)
  const name = html.slice(at, nameEnd).toLowerCase()
  const attributes = new Map<string, string>()
  let position = nameEnd
  for (;;) {
    position = firstOf(html, /[^\s/]/g, position)
    if (position >= html.length) return undefined
    if (html[position] === '>') {
      return { name, end: position + 1, attributes, isSelfClosing: html[position - 1] === '/' }
    }
    // A sign of equality at the beginning is part of the name.
    const keyEnd = firstOf(html, /[\s/>=]/g, position + 1)
    const key = html.slice(position, keyEnd).toLowerCase()
    position = firstOf(html, /\S/g, keyEnd)
    let value = ''
    if (html[position] === '=') {
      position = firstOf(html, /\S/g, position + 1)
      const quote = html[position]
      if (quote === '"' || quote === "'") {
        const end = html.indexOf(quote, position + 1)
        if (end < 0) return undefined
        value = html.slice(position + 1, end)
        position = end + 1
      } else if (quote !== '>') {
        const end = firstOf(html, /[\s>]/g, position)
        value = html.slice(position, end)
        position = end
      }
    }
    if (!attributes.has(key)) attributes.set(key, value)
  }
}

function firstOf(html: string, pattern: RegExp, from: number): number {
  pattern.lastIndex = from
  return pattern.exec(html)?.index ?? html.length
}

function endOfRaw(html: string, { name, end }: Tag): number | undefined {
  const close = new RegExp(`</${name}(?=[\\s/>])`, 'gi')
  close.lastIndex = end
  let found = close.exec(html)
  if (name === 'script') {
    while (found !== null && isInsideOfComment(html.slice(end, found.index))) {
      found = close.exec(html)
    }
  }
  return found === null ? undefined : readTag(html, found.index + 2)?.end
}

/** Whether the end of a script is that of another one, in a comment of the script. */
function isInsideOfComment(script: string): boolean {
  const comment = script.lastIndexOf('<!--')
  if (comment < 0 || script.includes('-->', comment + 2)) return false
  const inner = script.slice(comment)
  const opened = inner.match(/<script(?=[\s/>])/gi)?.length ?? 0
  const ended = inner.match(/<\/script(?=[\s/>])/gi)?.length ?? 0
  return opened > ended
}

function addPolicy({ attributes }: Tag, policies: string[]): void {
  if (attributes.get('http-equiv')?.toLowerCase() !== 'content-security-policy') return
  const content = attributes.get('content')
  if (content !== undefined)
    policies.push(content.replaceAll('&#39;', "'").replaceAll('&quot;', '"'))
}
