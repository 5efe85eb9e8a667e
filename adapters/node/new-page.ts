import { STATUS_CODES, type ServerResponse } from 'node:http'
import type { Frame } from '../../src/making/frame.js'
import type { ResponseVerdict } from '../../src/pages/policy.js'
import { fieldsOf, type StoredHeader, type StoredResponse } from '../../src/http/stored-response.js'
import { parseVary } from '../../src/http/vary.js'
import type { Around } from './around.js'
import type { HoledBody } from './page-holes.js'
import type { NewPage } from '../../src/pages/page.js'
import { compressCopies } from './precompress.js'
import type { takeHeaders } from './taken-headers.js'
import { routeName } from './routes.js'
import { statusMessageOf } from './protocol.js'

/** A response that will be stored if it ends whole. */
export interface Pending {
  /** As the handler set it: a layer around the cache may turn the response into a 304 for this client. */
  readonly status: number
  readonly statusMessage: string | undefined
  readonly verdict: Extract<ResponseVerdict, { store: true }>
  /** The names in the handler's `Vary`. */
  readonly vary: readonly string[]
  readonly headers: ReturnType<typeof takeHeaders>
  readonly said: StoredResponse['said']
  readonly atMs: number
  /** The page that the handler has confirmed: its body is stored again. */
  readonly confirmed?: StoredResponse
}

/**
 * The page to store of a response that ended whole.
 *
 * @param costMs - Milliseconds it took; left out: it is not rendered again ahead of its time.
 */
export async function toNewPage(
  { req, res, place: { settings }, isOutermost }: Around,
  pending: Pending,
  frame: Frame,
  {
    body,
    holes,
  }: { readonly body: readonly Buffer[]; readonly holes: HoledBody['holes'] | undefined },
  costMs: number | undefined,
): Promise<NewPage> {
  const outerVary = outerVaryOf(res, pending.vary)
  const { status, verdict, headers, said, atMs, confirmed } = pending
  // The reason phrase that `writeHead` was given is known only now.
  const isAsSent = confirmed === undefined && res.statusCode === status
  const statusMessage = isAsSent ? statusMessageOf(res) : pending.statusMessage
  const { keepSeconds, retention } = verdict
  const untilMs = keepSeconds === null ? Infinity : atMs + keepSeconds * 1000
  // A fragment with an earlier end may have been rendered since the headers were sent.
  const endsAtMs = settings.bubbleTimeout ? frame.bubbledExpiresAtMs : Infinity
  const endMs = Math.min(untilMs, endsAtMs)
  const freshUntilMs = endMs === Infinity ? null : endMs
  return {
    head: {
      status,
      // A reason phrase could contain what was filled into holes.
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
    route: routeName(req),
    frame,
  }
}

/** Names that layers around the cache have added to `Vary`, except for the content coding. */
function outerVaryOf(res: ServerResponse, innerVary: readonly string[]): readonly string[] {
  const known = [...innerVary, 'accept-encoding', 'authorization']
  const { names } = parseVary(res.getHeader('Vary'))
  return names.filter((name) => !known.includes(name))
}

/** A layer around the cache may not add them on a hit, and later caches have to know them. */
function withVary(
  headers: readonly StoredHeader[],
  outer: readonly string[],
): readonly StoredHeader[] {
  if (outer.length === 0) return headers
  const value = fieldsOf({ headers })['vary']
  const vary = [...(value === undefined ? [] : [value].flat()), ...outer].join(', ')
  return [...headers.filter(([name]) => name.toLowerCase() !== 'vary'), ['Vary', vary]]
}
