import type { CacheCore } from '../backend/core.js'
import type { CacheTagError, TagPosition } from '../errors.js'
import { Frame } from '../making/frame.js'
import type { InFlight } from '../making/in-flight.js'
import type { HoleMarks } from './hole-marks.js'
import type { HoleRenderer } from './hole-parts.js'

/** What a frame knows of the fragment it was made for. */
export interface FramedFragment {
  readonly site: TagPosition
  /** The per-user inputs that its vary-on was made from. */
  readonly declared: ReadonlySet<string> | undefined
  readonly settings: { readonly strict: boolean }
}

/** What a template is rendered for. */
export interface Purpose {
  /** Whether it is made under a lease. */
  readonly isLeased?: boolean
  /** Whether it must not live longer than anything inside. */
  readonly isLimited?: boolean
  /** Left out: it is no fragment's, or of one that is not kept. */
  readonly fragment?: FramedFragment | undefined
  /** Where what is rendered is going to be stored. */
  readonly storedKey?: string | undefined
  /** Fills the holes of what is rendered, if nothing around it is kept. */
  readonly holes?: HoleRenderer | undefined
  /** What to throw for a hole where there is nothing to fill it. */
  readonly holeFault?: ((position: TagPosition) => CacheTagError) | undefined
}

/** What a template is rendered in: a fragment, a page, or what is rendered before it is known which. */
export class TemplateFrame extends Frame {
  /** Whether what is rendered in it is kept. A tag that is rendered without the cache keeps nothing. */
  keeps = true
  /** Fills the holes of what is rendered in it, if nothing around it is kept. */
  holes: HoleRenderer | undefined
  /** Whether a hole was rendered in it, or in something inside it, though it keeps nothing. */
  hasShownHoles = false
  /** What stands for holes in the texts inside it, if nothing around it is kept. */
  marks: HoleMarks | undefined
  /** Whether something of one user was found while it was made, declared or not. */
  tellsOfUser = false
  readonly fragment: FramedFragment | undefined
  readonly storedKey: string | undefined
  readonly holeFault: ((position: TagPosition) => CacheTagError) | undefined

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
  }
}

/** The template frames around, from the inside out. */
export function* templateFramesAround(frame: Frame | undefined): Generator<TemplateFrame> {
  for (let at = frame; at !== undefined; at = at.parent) if (at instanceof TemplateFrame) yield at
}

/** Whether what is made in a frame is kept by itself: a value always is. */
export function isKeptBy(frame: Frame): boolean {
  return !(frame instanceof TemplateFrame) || frame.keeps
}

/**
 * The outermost frame around that is kept.
 *
 * @returns `undefined`: nothing around is kept.
 */
export function outermostOf(frame: Frame | undefined): Partial<TemplateFrame> | undefined {
  let outermost: Frame | undefined
  for (let at = frame; at !== undefined; at = at.parent) if (isKeptBy(at)) outermost = at
  return outermost
}
