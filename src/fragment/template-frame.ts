import type { CacheCore } from '../backend/core.js'
import type { CacheTagError, TagPosition } from '../errors.js'
import { Frame } from '../making/frame.js'
import type { InFlight } from '../making/in-flight.js'
import type { HoleMarks } from './hole-marks.js'
import type { HoleRenderer } from './hole-parts.js'

/** What a frame knows of its fragment. */
export interface FramedFragment {
  readonly site: TagPosition & {
    readonly varyOnNames?: readonly string[] | undefined
    readonly fromCode?: boolean
  }
  /** The per-user inputs that its vary-on values were made from. */
  readonly declared: ReadonlySet<string> | undefined
  readonly settings: { readonly strict: boolean }
}

/** What is known of a frame from the start. */
export interface Purpose {
  /** Whether it is made under a lease. */
  readonly isLeased?: boolean
  /** Whether the result must expire no later than any entry inside. */
  readonly isLimited?: boolean
  /** Left out: it is not a fragment's, or the fragment is not stored. */
  readonly fragment?: FramedFragment | undefined
  /** The key that the result is stored under. */
  readonly storedKey?: string | undefined
  /** Fills the holes inside, if nothing around it is stored. */
  readonly holes?: HoleRenderer | undefined
  /** The error for a hole that nothing can fill. */
  readonly holeFault?: ((position: TagPosition) => CacheTagError) | undefined
  /** Whether a hole that {@link holes} does not know is rendered in place. Default: it is an error. */
  readonly mayShowHoles?: boolean
  /** Left out: it is not a page's. */
  readonly page?: FramedPage | undefined
}

/** What a frame knows of its page. */
export interface FramedPage {
  /** Notes which of their variables its templates read. Left out: while developing, what their engine says does. */
  readonly watcher?: VariablesWatcher | undefined
  /** Whether a per-user input in it is an error, and can still be one. */
  readonly isStrict: () => boolean
  /** Whether it is going to be kept for all, as far as is known yet. */
  readonly isKept: () => boolean
  /** Such as `GET /countries/:code`. */
  readonly route: () => string
}

/** Gives templates a stand-in for their variables. */
export interface VariablesWatcher {
  watch<T>(variables: T): T
  /** The same for a value that an engine has beside the variables, by its name there. */
  named(name: string, value: unknown): unknown
}

/** The frame of a fragment or page, or of what is rendered before it is known of which. */
export class TemplateFrame extends Frame {
  /** Whether the result is stored. Not so for a tag that is rendered without the cache. */
  keeps = true
  /** Fills the holes inside, if nothing around it is stored. */
  holes: HoleRenderer | undefined
  /** Whether a hole was rendered in place inside, where nothing around is stored. */
  hasShownHoles = false
  /** The marks of holes in the texts inside, if nothing around it is stored. */
  marks: HoleMarks | undefined
  /** Whether a per-user input with a value was read inside, declared or not. */
  tellsOfUser = false
  readonly fragment: FramedFragment | undefined
  readonly storedKey: string | undefined
  readonly holeFault: ((position: TagPosition) => CacheTagError) | undefined
  readonly mayShowHoles: boolean
  readonly framedPage: FramedPage | undefined

  constructor(
    cache: CacheCore,
    parent: Frame | undefined,
    flight: InFlight | undefined,
    purpose: Purpose = {},
  ) {
    super(cache, parent, flight, purpose.isLimited, purpose.isLeased)
    this.fragment = purpose.fragment
    this.storedKey = purpose.storedKey
    this.holes = purpose.holes
    this.holeFault = purpose.holeFault
    this.mayShowHoles = purpose.mayShowHoles === true
    this.framedPage = purpose.page
  }
}

/** The frame of a fragment that is stored. */
export type FragmentFrame = TemplateFrame & { readonly fragment: FramedFragment }

export function isOfFragment(frame: Frame): frame is FragmentFrame {
  return frame instanceof TemplateFrame && frame.fragment !== undefined
}

/** The template frames around, from the inside out. */
export function* templateFramesAround(frame: Frame | undefined): Generator<TemplateFrame> {
  for (let at = frame; at !== undefined; at = at.parent) if (at instanceof TemplateFrame) yield at
}

/** Whether the result of a frame is stored by itself: a value always is. */
export function isKeptBy(frame: Frame): boolean {
  return !(frame instanceof TemplateFrame) || frame.keeps
}

/**
 * The outermost frame around whose result is stored.
 *
 * @returns `undefined`: there is none.
 */
export function outermostOf(frame: Frame | undefined): Partial<TemplateFrame> | undefined {
  let outermost: Frame | undefined
  for (let at = frame; at !== undefined; at = at.parent) if (isKeptBy(at)) outermost = at
  return outermost
}
