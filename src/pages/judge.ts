import {
  judgeResponse,
  type Downstream,
  type ResponseFacts,
  type ResponseVerdict,
  type StoreOptions,
  type Visitor,
} from './policy.js'
import type { ChangeReason, StoreRefusal, UnkeptReason } from './reasons.js'

/** What a response was made of, as far as that decides whose it is. */
export interface Inside {
  /** What differs per visitor was read for it, and it does not vary on that. */
  readonly isUnfit: boolean
  /** Something in it is past its time. */
  readonly holdsOld: boolean
  readonly holes: HolesInside
}

/**
 * `none`: the response has no holes. `filled`: they are filled for this visitor, and known. `lost`: it has, or may
 * have, some that cannot be told from the rest.
 */
export type HolesInside = 'none' | 'filled' | 'lost'

/** What came back for a request, when its headers are about to be sent. */
export interface Came {
  readonly request: {
    readonly method: string
    /** It asked for parts: what came may be one. */
    readonly ranged: boolean
  }
  readonly response: ResponseFacts
  /** Whom it belongs to, as far as the site can tell. */
  readonly visitor: Visitor | undefined
  /** It is answered as something else than it was looked up as. */
  readonly change: ChangeReason | undefined
  readonly inside: Inside
}

/** Whether a response may be kept, and what is said of it. */
export type Judgement = {
  /** The body is this visitor's, whatever the headers say. */
  readonly isForOneVisitor: boolean
  /** What caches after us are told; `undefined`: what the response says itself. */
  readonly downstream: Downstream | undefined
} & (
  | { readonly keeps: true; readonly verdict: Extract<ResponseVerdict, { store: true }> }
  | { readonly keeps: false; readonly reason: UnkeptReason }
)

/**
 * Decides what becomes of what came back.
 *
 * @param nowMs - Milliseconds since the epoch.
 */
export function judge(came: Came, options: StoreOptions, nowMs: number): Judgement {
  const { request, response, visitor, change, inside } = came
  const verdict = judgeResponse({ ...request, visitor }, response, options, nowMs)
  const own = ownRefusal(inside, response)
  const old = inside.holdsOld ? 'stale-inside' : undefined
  const isForOneVisitor = inside.holes === 'filled' || own !== undefined
  const isSilent = isForOneVisitor || change !== undefined || old !== undefined
  const downstream = isSilent ? undefined : verdict.downstream
  const reason = change ?? (verdict.store ? undefined : verdict.reason) ?? own ?? old
  if (reason !== undefined || !verdict.store) {
    return { keeps: false, reason: reason ?? 'status', isForOneVisitor, downstream }
  }
  return { keeps: true, verdict, isForOneVisitor, downstream }
}

/** Why a response is one visitor's by what it was made of. */
function ownRefusal(
  { isUnfit, holes }: Inside,
  { headers }: ResponseFacts,
): UnkeptReason | undefined {
  if (isUnfit) return 'undeclared-read'
  if (holes === 'lost') return 'holes'
  // By the letter of the RFC cookies are stored, but not those that may tell of who filled the holes.
  return holes === 'filled' && headers['set-cookie'] !== undefined ? 'set-cookie' : undefined
}

/**
 * Why a response that was judged to be kept is not, now that it has ended whole.
 *
 * @param refusal - By the headers that were sent in the end.
 * @param lacksVary - It was said what it varies on before cookies were read.
 */
export function judgeEnd(
  refusal: StoreRefusal | undefined,
  lacksVary: boolean,
  { isUnfit, holdsOld, holes }: Inside,
): UnkeptReason | undefined {
  if (refusal !== undefined) return refusal
  if (lacksVary) return 'cookies-read'
  if (isUnfit) return 'undeclared-read'
  if (holdsOld) return 'stale-inside'
  return holes === 'lost' ? 'holes' : undefined
}
