import { createCaches, FragmentCache, LocMemCache, type Caches } from '../../src/index.js'
import { currentSession, renderInSession } from '../../src/fragment/deferred.js'
import type { HoleRef } from '../../src/fragment/hole-parts.js'
import type { HoleRenderer } from '../../src/fragment/hole-parts.js'
import { renderHole } from '../../src/fragment/holes.js'
import { resolveTag } from '../../src/fragment/render.js'
import { AsyncTestCache } from '../support/async-cache.js'
import { renderTagSync } from './render-tag.js'

/** What a page is rendered for. */
export interface Visitor {
  readonly name: string
}

type HoleBody = (visitor: Visitor) => string | Promise<string>

/** A template engine that has cache and nocache tags and nothing else. */
export class HoleEngine {
  readonly far = new AsyncTestCache({})
  readonly near = new LocMemCache()
  readonly caches = createCaches({ near: this.near, far: this.far, default: this.near })
  readonly fragments: FragmentCache
  /** What ran, in this order. */
  readonly ran: string[] = []
  readonly #holes = new Map<string, HoleBody>()

  constructor(fragments?: (caches: Caches) => FragmentCache) {
    this.fragments = fragments?.(this.caches) ?? new FragmentCache(this.caches)
  }

  /** Whether holes are rendered asynchronously. */
  isAsynchronous = false

  ref(id: string): HoleRef {
    return { e: 'test', t: 'page', h: id }
  }

  holes(visitor: Visitor): HoleRenderer {
    return {
      has: ({ e, t, h }) => e === 'test' && t === 'page' && this.#holes.has(h),
      render: ({ h }) => {
        const body = this.#holes.get(h)
        const text = body && this.#run(h, body, visitor)
        return this.isAsynchronous ? Promise.resolve(text) : text
      },
      capture: () => this.holes({ ...visitor }),
    }
  }

  #run(id: string, body: HoleBody, visitor: Visitor): string {
    this.ran.push(id)
    return body(visitor) as string
  }

  /** The cache tag. */
  tag(
    name: string,
    visitor: Visitor,
    body: () => string,
    values: Readonly<Record<string, unknown>> = {},
  ): string {
    const site = { fragment: name, template: 'page', line: 1, remedy: 'render asynchronously' }
    const fragment = resolveTag(this.fragments, site, { timeout: 60, varyOn: [], ...values })
    const counted = () => {
      this.ran.push(name)
      return body()
    }
    const session = currentSession()
    const holes = this.holes(visitor)
    return session === undefined
      ? renderTagSync(fragment, counted, holes)
      : renderInSession(session, fragment, { renderBody: counted, holes })
  }

  /** The nocache tag. */
  nocache(id: string, visitor: Visitor, body: HoleBody): string {
    this.#holes.set(id, body)
    const position = { template: 'page', line: 2 }
    return renderHole(this.ref(id), position, () => this.#run(id, body, visitor))
  }

  /** A deploy in which a hole is no longer there. */
  forget(id: string): void {
    this.#holes.delete(id)
  }
}
