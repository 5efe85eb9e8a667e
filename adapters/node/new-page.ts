import { STATUS_CODES, type ServerResponse } from 'node:http'
import type { Frame } from '../../src/making/frame.js'
import type { ResponseVerdict } from '../../src/pages/policy.js'
import { fieldsOf, type StoredHeader, type StoredResponse } from '../../src/http/stored-response.js'
import { parseVary } from '../../src/http/vary.js'
import type { Settings } from './settings.js'
import type { HoledBody } from './page-holes.js'
import type { NewPage } from '../../src/pages/page.js'
import { compressCopies } from './precompress.js'
import type { takeHeaders } from './taken-headers.js'
import { statusMessageOf } from './protocol.js'

/** A response that will be stored if it ends whole. */
export interface Pending {
  /** As the view gave it: a layer around us may make a 304 of it for this client. */
  readonly status: number
  readonly statusMessage: string | undefined
  readonly verdict: Extract<ResponseVerdict, { store: true }>
  /** What the view says that it varies on. */
  readonly vary: readonly string[]
  readonly headers: ReturnType<typeof takeHeaders>
  readonly said: StoredResponse['said']
  readonly atMs: number
  /** The page that was found to be right still: its body is stored again. */
  readonly confirmed?: StoredResponse
}

/** A response that ended whole, and what it was made in. */
interface Ended {
  readonly pending: Pending
  readonly body: readonly Buffer[]
  readonly frame: Frame
  readonly holes: HoledBody['holes'] | undefined
  readonly res: ServerResponse
  readonly settings: Settings
  /** Nothing of the application comes before the cache. */
  readonly isOutermost: boolean
  /** Milliseconds it took; left out: it is not made again ahead of its time. */
  readonly costMs: number | undefined
}

/** The page to store of a response that ended whole. */
export async function toNewPage(ended: Ended): Promise<NewPage> {
  const { pending, body, frame, holes, res, settings, isOutermost, costMs } = ended
  const outerVary = outerVaryOf(res, pending.vary)
  const { status, verdict, headers, said, atMs, confirmed } = pending
  // What writeHead was given is not known before.
  const isAsSent = confirmed === undefined && res.statusCode === status
  const statusMessage = isAsSent ? statusMessageOf(res) : pending.statusMessage
  const { keepSeconds, retention } = verdict
  const untilMs = keepSeconds === null ? Infinity : atMs + keepSeconds * 1000
  // What was written in pieces may have met a shorter life since its headers were sent.
  const endsAtMs = settings.bubbleTimeout ? frame.bubbledExpiresAtMs : Infinity
  const endMs = Math.min(untilMs, endsAtMs)
  const freshUntilMs = endMs === Infinity ? null : endMs
  return {
    head: {
      status,
      // With holes it may have been made of what was in them.
      statusMessage:
        holes !== undefined || statusMessage === STATUS_CODES[status] ? undefined : statusMessage,
      headers: withVary(headers.headers, outerVary),
      removed: headers.removed,
      said,
      storedAtMs: atMs,
      ageSeconds: verdict.ageSeconds,
      freshUntilMs,
      ifErrorSeconds: retention.ifErrorSeconds,
      whileRevalidateSeconds: retention.whileRevalidateSeconds,
      isPublic: verdict.isPublic,
      isForAuthorized: verdict.isForAuthorized,
      mustValidate: verdict.mustValidate,
      mayBeStale: retention.mayBeStale,
      isWhole: isOutermost,
      holes,
      costMs,
    },
    body,
    encoded:
      holes !== undefined
        ? []
        : confirmed === undefined
          ? await compressCopies(body, headers.headers, settings)
          : confirmed.codings.map(
              ([coding], i) => [coding, confirmed.encoded[i] as Buffer] as const,
            ),
    vary: [...pending.vary, ...outerVary],
    keptUntilMs: freshUntilMs === null ? null : freshUntilMs + retention.staleSeconds * 1000,
    frame,
  }
}

/** What layers around us say the answer varies on counts too, but for how they encode it. */
function outerVaryOf(res: ServerResponse, innerVary: readonly string[]): readonly string[] {
  const known = [...innerVary, 'accept-encoding', 'authorization']
  const { names } = parseVary(res.getHeader('Vary'))
  return names.filter((name) => !known.includes(name))
}

/** A layer around us need not say it again on a hit, and caches after us have to know. */
function withVary(
  headers: readonly StoredHeader[],
  outer: readonly string[],
): readonly StoredHeader[] {
  if (outer.length === 0) return headers
  const value = fieldsOf({ headers })['vary']
  const vary = [...(value === undefined ? [] : [value].flat()), ...outer].join(', ')
  return [...headers.filter(([name]) => name.toLowerCase() !== 'vary'), ['Vary', vary]]
}
