import { AsyncLocalStorage } from 'node:async_hooks'
import { randomBytes } from 'node:crypto'
import { Attempt, flightToJoin, openMany, openSync, type Opening } from './attempt.js'
import { faults } from './faults.js'
import { currentFrame, type Frame } from './frame.js'
import { toText, WriteBatch } from './render.js'
import type { Fragment } from './spec.js'

/** A fragment whose text comes after its template is done. */
export interface DeferredFragment {
  readonly fragment: Fragment
  readonly parent: Frame | undefined
  /** Renders the body now, possibly leaving placeholders. Not called where an attempt is running. */
  readonly body: () => string
  /** An in-place body that ended with placeholders in it. */
  readonly begun?: Begun
  /** Applied wherever the text replaces the placeholder; what is stored stays as it was. */
  place: (text: string) => string
}

/** A body that has run, possibly with placeholders in its text. */
interface Begun {
  readonly attempt: Attempt
  readonly text: string
}

const sessions = new AsyncLocalStorage<DeferredSession>()
let used = false

/** The session of the asynchronous render that is going on. */
export function currentSession(): DeferredSession | undefined {
  return used ? sessions.getStore() : undefined
}

/**
 * Renders with fragments over any cache: tags leave placeholders, and once the template is done all
 * fragments of a level are read in one round trip per cache, the missing bodies run, and everything
 * new is stored in one write per cache.
 *
 * @param render - Renders the template; tags inside use {@link renderInSession}.
 */
export async function renderDeferred(
  render: () => string | null | Promise<string | null>,
): Promise<string> {
  const session = new DeferredSession()
  used = true
  return sessions.run(session, async () => session.resolve((await render()) ?? ''))
}

/**
 * Renders a tag inside a session: in place where the cache answers at once, otherwise by a
 * placeholder.
 */
export function renderInSession(
  session: DeferredSession,
  fragment: Fragment,
  body: () => string,
): string {
  const parent = currentFrame()
  const deferred = { fragment, parent, body, place: same }
  if (!fragment.cache.answersAtOnce && !fragment.bypass) return session.defer(deferred)
  if (flightToJoin(fragment, parent) !== undefined) return session.defer(deferred)
  const opened = openSync(fragment, parent, true)
  if (typeof opened === 'string') return opened
  const text = opened.runSync(() => toText(body(), fragment))
  if (session.holdsPlaceholder(text)) {
    return session.defer({ ...deferred, begun: { attempt: opened, text } })
  }
  void opened.commit(text)
  return text
}

const same = (text: string): string => text

/**
 * The placeholders of one render.
 *
 * A placeholder is unguessable, so that content which looks like one stays inert, and fragile on
 * purpose: trimming, changing case, escaping or quoting damages everything but the digits, by which
 * the damage is found.
 */
export class DeferredSession {
  #nonce: string | undefined
  #pattern: RegExp | undefined
  readonly #deferred: DeferredFragment[] = []
  readonly #texts = new Map<DeferredFragment, Promise<string>>()
  readonly #writes = new WriteBatch()

  /** Puts a fragment off. @returns What stands for it until the template is done. */
  defer(deferred: DeferredFragment): string {
    const nonce = (this.#nonce ??= makeNonce())
    const index = this.#deferred.push(deferred) - 1
    return placeholder(nonce, index)
  }

  /** Whether a text holds what is left of at least one placeholder. */
  holdsPlaceholder(text: string): boolean {
    return this.#nonce !== undefined && text.includes(this.#nonce)
  }

  /** The fragments whose placeholders a text holds, in their order. */
  fragmentsIn(text: string): DeferredFragment[] {
    if (!this.holdsPlaceholder(text)) return []
    const found = new Set<DeferredFragment>()
    for (const [, index] of text.matchAll(this.#search())) {
      const deferred = this.#deferred[Number(index)]
      if (deferred !== undefined) found.add(deferred)
    }
    return [...found]
  }

  /**
   * Replaces every placeholder in a rendered template.
   *
   * @throws CacheTagError: a placeholder was altered on its way into the text.
   * @throws What the first body to fail throws; what else was finished is stored all the same.
   */
  async resolve(text: string): Promise<string> {
    if (!this.holdsPlaceholder(text)) return text
    try {
      this.#start(this.fragmentsIn(text))
      return await this.#fill(text)
    } finally {
      await this.#settle()
      await this.#writes.flush()
    }
  }

  /**
   * Starts rendering the fragments of one level and, once their bodies have run, of all they
   * contain together.
   */
  #start(level: readonly DeferredFragment[]): void {
    const fresh = level.filter((deferred) => !this.#texts.has(deferred))
    if (fresh.length === 0) return
    const unbegun = fresh.filter(({ begun }) => begun === undefined)
    const openings = openMany(
      unbegun.map(({ fragment }) => fragment),
      unbegun.map(({ parent }) => parent),
    )
    const bodies = fresh.map(async (deferred): Promise<Begun | string> => {
      if (deferred.begun !== undefined) return deferred.begun
      const opened = await (openings[unbegun.indexOf(deferred)] as Opening).opened
      return opened instanceof Attempt ? this.#runBody(opened, deferred) : opened.text
    })
    const isJoined = fresh.map((one) => openings[unbegun.indexOf(one)]?.joined === true)
    // One that joins must not hold up the others: the body it waits for may wait for one of them.
    const own = Promise.allSettled(bodies.filter((_, i) => !isJoined[i])).then((results) => {
      this.#start(results.flatMap((result) => this.#inside(result)))
    })
    fresh.forEach((deferred, i) => {
      const text = this.#finish(bodies[i] as Promise<Begun | string>, isJoined[i] ? undefined : own)
      text.catch(() => undefined)
      this.#texts.set(deferred, text)
    })
  }

  #runBody(attempt: Attempt, { fragment, body }: DeferredFragment): Begun {
    return { attempt, text: attempt.runSync(() => toText(body(), fragment)) }
  }

  #inside(result: PromiseSettledResult<Begun | string>): DeferredFragment[] {
    if (result.status === 'rejected' || typeof result.value === 'string') return []
    return this.fragmentsIn(result.value.text)
  }

  async #finish(body: Promise<Begun | string>, level: Promise<void> | undefined): Promise<string> {
    const begun = await body
    if (typeof begun === 'string') return begun
    let text: string
    try {
      if (level === undefined) this.#start(this.fragmentsIn(begun.text))
      else await level
      text = await this.#fill(begun.text)
    } catch (error) {
      begun.attempt.fail(error)
      throw error
    }
    await this.#writes.complete(begun.attempt, text)
    return text
  }

  /** After an error others may still be on their way; they are to be stored and released. */
  async #settle(): Promise<void> {
    for (let known = -1; known !== this.#texts.size;) {
      known = this.#texts.size
      await Promise.allSettled(this.#texts.values())
    }
  }

  async #fill(text: string): Promise<string> {
    if (!this.holdsPlaceholder(text)) return text
    let filled = ''
    let end = 0
    for (const match of text.matchAll(this.#search())) {
      const deferred = this.#deferred[Number(match[1])]
      // Only what stands between placeholders is checked: a fragment's text may hold anything.
      const between = text.slice(end, match.index)
      this.#checkUndamaged(between)
      filled += between
      if (deferred !== undefined) {
        filled += deferred.place((await this.#texts.get(deferred)) as string)
      }
      end = match.index + match[0].length
    }
    const rest = text.slice(end)
    this.#checkUndamaged(rest)
    return filled + rest
  }

  #checkUndamaged(text: string): void {
    if (this.#nonce === undefined) return
    const at = text.indexOf(this.#nonce)
    if (at < 0) return
    const index = /^-(\d+)/.exec(text.slice(at + this.#nonce.length))?.[1]
    throw faults.altered(this.#deferred[Number(index)]?.fragment.site ?? {})
  }

  #search(): RegExp {
    return (this.#pattern ??= new RegExp(placeholder(this.#nonce ?? '', '(\\d+)'), 'g'))
  }
}

/** Digits survive a change of case, by which a damaged placeholder is still recognised. */
function makeNonce(): string {
  return BigInt(`0x${randomBytes(12).toString('hex')}`)
    .toString()
    .padStart(29, '0')
}

function placeholder(nonce: string, index: number | string): string {
  return ` <fRaG "${nonce}-${index}' > `
}
