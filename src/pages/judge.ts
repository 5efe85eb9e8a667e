import {
  judgeResponse,
  type Downstream,
  type ResponseFacts,
  type ResponseVerdict,
  type StoreOptions,
  type Visitor,
} from './policy.js'
import type { ChangeReason, StoreRefusal, UnkeptReason } from './reasons.js'

/** What a response contains, as far as that decides whether it may be shared. */
export interface Inside {
  /** A per-user input was read for it, on which it does not vary. */
  readonly isUnfit: boolean
  /** Something in it is stale. */
  readonly holdsOld: boolean
  readonly holes: HolesInside
}

/**
 * `none`: the response has no holes. `filled`: its holes are filled for this request, and their places are known.
 * `lost`: it has, or may have, holes that cannot be told from the rest.
 */
export type HolesInside = 'none' | 'filled' | 'lost'

/** A response whose headers are about to be sent, and its request. */
export interface Came {
  readonly request: {
    readonly method: string
    /** It asked for a range: the response may be a part. */
    readonly ranged: boolean
  }
  readonly response: ResponseFacts
  /** Set if the request is per-user. */
  readonly visitor: Visitor | undefined
  /** Something that is part of the key has changed since the look-up. */
  readonly change: ChangeReason | undefined
  readonly inside: Inside
}

/** Whether a response may be stored, and what its headers have to say. */
export type Judgement = {
  /** The body is per-user, whatever the headers say. */
  readonly isPerUser: boolean
  /** What later caches get; `undefined`: what the response says itself. */
  readonly downstream: Downstream | undefined
} & (
  | { readonly keeps: true; readonly verdict: Extract<ResponseVerdict, { store: true }> }
  | { readonly keeps: false; readonly reason: UnkeptReason }
)

/**
 * Decides whether a response may be stored.
 *
 * @param nowMs - Milliseconds since the epoch.
 */
export function judge(came: Came, options: StoreOptions, nowMs: number): Judgement {
  const { request, response, visitor, change, inside } = came
  const verdict = judgeResponse({ ...request, visitor }, response, options, nowMs)
  const own = ownRefusal(inside, response)
  const old = inside.holdsOld ? 'stale-inside' : undefined
  const isPerUser = inside.holes === 'filled' || own !== undefined
  const isSilent = isPerUser || change !== undefined || old !== undefined
  const downstream = isSilent ? undefined : verdict.downstream
  const reason = change ?? (verdict.store ? undefined : verdict.reason) ?? own ?? old
  if (reason !== undefined || !verdict.store) {
    return { keeps: false, reason: reason ?? 'status', isPerUser, downstream }
  }
  return { keeps: true, verdict, isPerUser, downstream }
}

/** Why a response is per-user by what it contains. */
function ownRefusal(
  { isUnfit, holes }: Inside,
  { headers }: ResponseFacts,
): UnkeptReason | undefined {
  if (isUnfit) return 'undeclared-read'
  if (holes === 'lost') return 'holes'
  // By RFC 9111 cookies may be stored, but here they may have been set to fill the holes.
  return holes === 'filled' && headers['set-cookie'] !== undefined ? 'set-cookie' : undefined
}

/**
 * Why a response that was to be stored is not, now that its whole body was sent.
 *
 * @param refusal - The reason that the headers give as they were sent in the end.
 * @param lacksVary - Its headers were sent without `Vary: Cookie` before cookies were read.
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
