import type { TagPosition } from '../errors.js'
import { currentFrame, runAsyncIn, type Frame } from '../making/frame.js'
import { chain, isPromise, type MaybePromise } from '../maybe-promise.js'
import { faults } from './faults.js'
import type { Content, HoleRef, HoleRenderer, Parts, Piece } from './hole-parts.js'
import { HoleMarks, type ChangeHole } from './hole-marks.js'
import { isKeptBy, outermostOf, TemplateFrame, templateFramesAround } from './template-frame.js'
import { holeFaults, readNamed, type NamedValues } from './named-values.js'
import { findStray } from './placeholder.js'
import { observer } from './shown.js'

/** Finds and renders the holes of an engine's templates. */
export interface HoleSource<Page extends object, Hole> {
  readonly name: string
  /**
   * @param page - The page that shows the hole.
   * @returns `undefined`: the hole no longer exists.
   */
  find(template: string, id: string, page: Page): Hole | undefined
  /** @throws What the hole throws. */
  render(hole: Hole, page: Page, ref: HoleRef, values: NamedValues): MaybePromise<string>
}

/** Renders the holes of one engine in the context of one page. */
export class HolesOfPage<Page extends object, Hole> implements HoleRenderer {
  /** With `isGiven` the context is not that of a render: holes are not compared by it. */
  constructor(
    private readonly source: HoleSource<Page, Hole>,
    private readonly context: Page,
    private readonly isGiven: boolean,
  ) {}

  get page(): object | undefined {
    return this.isGiven ? undefined : this.context
  }

  has(ref: HoleRef): boolean {
    try {
      return this.#find(ref) !== undefined
    } catch {
      // Its template cannot be compiled any more, or its values were damaged.
      return false
    }
  }

  render(ref: HoleRef): MaybePromise<string | undefined> {
    const found = this.#find(ref)
    return found && this.source.render(found.hole, this.context, ref, found.values)
  }

  #find({ e, t, h }: HoleRef): { hole: Hole; values: NamedValues } | undefined {
    if (e !== this.source.name) return undefined
    const { id, values } = readNamed(h)
    const hole = this.source.find(t, id, this.context)
    return hole && { hole, values }
  }
}

/** An engine whose holes can be rendered in any context. */
export interface HoleEngine {
  readonly name: string
  /** Returns what fills holes. @param context - The variables that the holes see. */
  holes(context: unknown): HoleRenderer
}

/** A text in the place where its fragment is. */
export interface Shown {
  readonly text: string
  /** Left out: holes of it are rendered further out, or there are none. */
  readonly pieces?: readonly Piece[]
}

/**
 * The output of a nocache tag: its body or, if something around it is stored, a mark.
 *
 * @param inPlace - Renders the body here and now.
 * @param page - The page whose context it sees.
 * @throws CacheTagError: nothing around it could render it on a hit.
 * @throws What `inPlace` throws.
 */
export function renderHole<T>(
  ref: HoleRef,
  position: TagPosition,
  inPlace: () => T,
  page?: object,
): string | T {
  const frame = currentFrame()
  const host = frame && hostOf(frame, position)
  if (frame === undefined || host === undefined) {
    noteShown(frame)
    return inPlace()
  }
  if (!areOfOnePage(host.holes, page)) throw holeFaults.otherRender(position)
  if (host.holes.has(ref)) return mark(host, ref, frame, position)
  if (!host.mayShowHoles || isKeptWithin(frame, host)) {
    throw faults.unreachableHole(ref.e, position)
  }
  noteShown(frame)
  return inPlace()
}

/** Whether something between a frame and one around it is stored. */
function isKeptWithin(frame: Frame, around: Frame): boolean {
  for (let at: Frame | undefined = frame; at !== undefined && at !== around; at = at.parent) {
    if (isKeptBy(at)) return true
  }
  return false
}

/** Whether what is around shows holes in the context of a page, as far as that can be told. */
function areOfOnePage(holes: HoleRenderer, page: object | undefined): boolean {
  return page === undefined || holes.page === undefined || holes.page === page
}

/** Tells what is around that it has a hole's text. */
function noteShown(frame: Frame | undefined): void {
  for (const at of templateFramesAround(frame)) at.hasShownHoles = true
}

/** Whether the calling code runs inside a body that is kept. */
export function isKept(): boolean {
  return outermostOf(currentFrame()) !== undefined
}

/**
 * For what measures or changes a text, as filters do: the text of a hole is not there yet.
 *
 * @throws CacheTagError: the text contains the mark of a hole.
 */
export function refuseHoles(text: string): void {
  const marks = outermostOf(currentFrame())?.marks
  if (marks?.isIn(text) === true) throw marks.alteredIn(text)
}

/**
 * For an engine that changes a text in a way it can also change the holes' texts in, as by indenting
 * it: gives each hole in the text another reference, by which that is done when it is rendered.
 *
 * @param frame - The frame that the text was made in.
 */
export function changeHoles(frame: Frame | undefined, text: string, change: ChangeHole): string {
  return outermostOf(frame)?.marks?.change(text, change) ?? text
}

/** A frame that can fill holes. */
type Host = TemplateFrame & { readonly holes: HoleRenderer }

/**
 * The frame that fills the holes met in a frame.
 *
 * @returns `undefined`: nothing around is kept.
 * @throws CacheTagError: what is around is kept and cannot fill holes.
 */
function hostOf(frame: Frame, position: TagPosition): Host | undefined {
  let host: TemplateFrame | undefined
  for (let at: Frame | undefined = frame; at !== undefined; at = at.parent) {
    if (!(at instanceof TemplateFrame)) throw faults.holeInValue(position)
    if (!at.keeps) continue
    if (at.fragment === undefined && at.holes === undefined) {
      throw at.holeFault?.(position) ?? faults.holeInValue(position)
    }
    host = at
  }
  if (host === undefined) return undefined
  if (host.holes === undefined) throw faults.holeFromCode(host.fragment?.site.fragment, position)
  return host as Host
}

function mark(host: Host, ref: HoleRef, frame: Frame, position: TagPosition): string {
  return (host.marks ??= new HoleMarks(position)).make(ref, frame, position)
}

/**
 * The content to store for a text that was rendered in a frame. If the text lacks a hole that was rendered,
 * the frame becomes unfit to be stored.
 *
 * @throws CacheTagError: the mark of a hole was altered, or belongs to another render.
 */
export function takeContent(frame: Frame, text: string): Content {
  const marks = outermostOf(frame)?.marks
  if (marks === undefined) {
    checkStray(text)
    return text
  }
  const { content, hasLost } = marks.take(text, frame)
  if (hasLost) frame.refuse('holes')
  if (typeof content === 'string') checkStray(content)
  else for (const part of content) if (typeof part === 'string') checkStray(part)
  return content
}

/** @throws CacheTagError: another render's mark is in the text. */
export function checkStray(text: string): void {
  const stray = findStray(text, 'hOlE')
  if (stray !== undefined) throw faults.strayHole(stray)
}

/**
 * Fills the holes of what is, or was, stored.
 *
 * @param outer - The frame around what was kept, which the holes are rendered in.
 * @returns `undefined`: a hole is not there any more.
 * @throws What a hole throws.
 */
export function fillContent(
  content: Content,
  holes: HoleRenderer,
  outer: Frame | undefined,
): MaybePromise<string | undefined> {
  if (typeof content === 'string') return content
  return chain(renderParts(content, holes, outer), (shown) => shown?.text)
}

/**
 * Whether all holes of what was stored are still there.
 *
 * @param parent - The frame it is shown in.
 * @param holes - Renders them if nothing around is kept.
 * @throws CacheTagError: nothing can render them.
 */
export function canShow(
  parts: Parts,
  parent: Frame | undefined,
  holes: HoleRenderer | undefined,
  position: TagPosition,
): boolean {
  const host = parent && hostOf(parent, position)
  if (host !== undefined) {
    if (!areOfOnePage(host.holes, holes?.page)) return false
    return parts.every((part) => typeof part === 'string' || host.holes.has(part))
  }
  if (holes === undefined) throw faults.holeFromCode(position.fragment, position)
  return parts.every((part) => typeof part === 'string' || holes.has(part))
}

/**
 * Turns what was stored into a text for its place: with its holes filled, or where something around is
 * kept with marks for them. To be called only after {@link canShow}.
 *
 * @returns `undefined`: a hole is not there any more.
 * @throws What a hole throws.
 */
export function showContent(
  content: Content,
  parent: Frame | undefined,
  holes: HoleRenderer | undefined,
  position: TagPosition,
): MaybePromise<Shown | undefined> {
  if (typeof content === 'string') return { text: content }
  const host = parent && hostOf(parent, position)
  if (parent !== undefined && host !== undefined) {
    let text = ''
    for (const part of content) {
      text += typeof part === 'string' ? part : mark(host, part, parent, position)
    }
    return { text }
  }
  if (holes === undefined) throw faults.holeFromCode(position.fragment, position)
  return renderParts(content, holes, parent)
}

function renderParts(
  parts: Parts,
  holes: HoleRenderer,
  outer: Frame | undefined,
): MaybePromise<Shown | undefined> {
  noteShown(outer)
  const render = () => renderEach(parts, holes)
  const texts = currentFrame() === outer ? render() : runAsyncIn(outer, render)
  if (!texts.some(isPromise)) return join(parts, texts as (string | undefined)[])
  const settled = Promise.all(texts.map((text) => Promise.resolve(text)))
  return settled.then((all) => join(parts, all))
}

function renderEach(parts: Parts, holes: HoleRenderer): MaybePromise<string | undefined>[] {
  const texts: MaybePromise<string | undefined>[] = []
  try {
    for (const part of parts) {
      texts.push(typeof part === 'string' ? part : chain(holes.render(part), withoutMarks))
    }
  } catch (error) {
    // Nobody is going to ask for those that are on their way.
    for (const text of texts) if (isPromise(text)) text.catch(() => undefined)
    throw error
  }
  return texts
}

/** @throws CacheTagError: a hole shows the placeholder of another one, which a named value may hold. */
function withoutMarks(text: string | undefined): string | undefined {
  if (text !== undefined) checkStray(text)
  return text
}

function join(parts: Parts, texts: readonly (string | undefined)[]): Shown | undefined {
  const pieces: Piece[] = []
  let joined = ''
  for (const [i, text] of texts.entries()) {
    if (text === undefined) return undefined
    joined += text
    pieces.push({ text, isHole: typeof parts[i] !== 'string' })
  }
  observer?.filled(pieces)
  return { text: joined, pieces }
}
