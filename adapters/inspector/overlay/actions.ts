import type { ServerResponse } from 'node:http'
import type { Caches } from '../../../src/caches.js'
import { actingAs } from '../../../src/observe/remembered.js'
import { toAction, toFault } from '../actions.js'
import { auditChannel, type AuditMessage } from '../audit.js'
import { readJson, RequestFault } from '../body.js'
import type { PagesOfUrls } from '../options.js'
import { isSameOrigin, setSafeHeaders, type ExpressRequest, type PageToken } from '../security.js'

/** The caches that pages were drawn with, by number. */
export class KnownCaches {
  readonly #numbers = new WeakMap<Caches, number>()
  readonly #known: WeakRef<Caches>[] = []

  numberOf(caches: Caches): number {
    const known = this.#numbers.get(caches)
    if (known !== undefined) return known
    const number = this.#known.push(new WeakRef(caches)) - 1
    this.#numbers.set(caches, number)
    return number
  }

  find(number: unknown): Caches | undefined {
    return typeof number === 'number' ? this.#known[number]?.deref() : undefined
  }
}

/** Answers what the overlay's buttons post: invalidates a fragment, a tag or the URL of a page. Never rejects. */
export async function answerAction(
  req: ExpressRequest,
  res: ServerResponse,
  known: KnownCaches,
  token: PageToken,
  pages: PagesOfUrls | undefined,
): Promise<void> {
  try {
    answer(res, 200, { ok: true, message: await run(req, known, token, pages) })
  } catch (error) {
    const { status, message } = error instanceof RequestFault ? error : toFault(error)
    answer(res, status, { ok: false, error: message })
  }
}

async function run(
  req: ExpressRequest,
  known: KnownCaches,
  token: PageToken,
  pages: PagesOfUrls | undefined,
): Promise<string> {
  if (req.method !== 'POST') throw new RequestFault(405, 'Only POST.')
  if (!isSameOrigin(req)) throw new RequestFault(403, 'The request comes from another site.')
  if (!token.isIn(req)) {
    throw new RequestFault(
      403,
      'The page is of another process or an earlier start: load it again.',
    )
  }
  const { caches: number, ...body } = await readJson(req)
  // What it can do else is not asked for here.
  const { alias, target, run, isDryRun } = toAction('invalidate', body, {
    // A URL is of no caches.
    get caches() {
      const caches = known.find(number)
      if (caches !== undefined) return caches
      throw new RequestFault(409, 'The caches of this page are gone: load it again.')
    },
    pages,
    reset: () => undefined,
  })
  if (isDryRun === true) return run()
  const told = {
    action: 'invalidate',
    target,
    ...(alias !== undefined && { alias }),
    ...(req.ip !== undefined && { ip: req.ip }),
  } as const
  const publish = (rest: Pick<AuditMessage, 'ok' | 'error'>) => {
    auditChannel.publish({ ...told, ...rest, atMs: Date.now() } satisfies AuditMessage)
  }
  try {
    const message = await actingAs('the overlay', run)
    publish({ ok: true })
    return message
  } catch (error) {
    publish({ ok: false, error: String(error) })
    throw error
  }
}

function answer(res: ServerResponse, status: number, body: object): void {
  setSafeHeaders(res)
  res.statusCode = status
  res.setHeader('Content-Type', 'application/json; charset=utf-8')
  res.end(JSON.stringify(body))
}
