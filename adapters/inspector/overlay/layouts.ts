import { createHash } from 'node:crypto'
import type { CacheCore } from '../../../src/backend/core.js'
import { BoundedMemo, bytesOfText, MemoBudget } from '../../../src/bounded-memo.js'
import type { Fragment } from '../../../src/fragment/spec.js'
import type { PutOut } from './put-out.js'

/** Of all that is remembered, apart from what serves visitors: the overlay is for developers. */
const MAX_BYTES = 64 * 1024 * 1024

/** What a fragment or a page was made of: a hit does not render what is in it. */
export interface Layout {
  readonly inner: readonly PutOut[]
  readonly madeAtMs: number | undefined
  readonly bodyMs: number | undefined
  /** Of a page, if it is known. */
  readonly route?: string | undefined
}

/** What was put into fragments and pages that this process has made: a bounded memory. */
export class Layouts {
  readonly #known = new BoundedMemo<Layout>(
    ({ inner }) => bytesOf(inner),
    new MemoBudget(MAX_BYTES),
  )

  addFragment(seen: PutOut): void {
    const { inner, madeAtMs, bodyMs } = seen
    this.#known.set(keyOf(seen.fragment), { inner: inner.map(asPart), madeAtMs, bodyMs })
  }

  ofFragment(fragment: Fragment): Layout | undefined {
    return this.#known.get(keyOf(fragment))
  }

  /** @param url - Where the page is; the latest is found by it where another visitor's differs a little. */
  addPage(url: string, html: string, inner: readonly PutOut[], route: string | undefined): void {
    const layout = { inner: inner.map(asPart), madeAtMs: undefined, bodyMs: undefined, route }
    this.#known.set(`page ${digestOf(html)}`, layout)
    this.#known.set(`url ${url}`, layout)
  }

  ofPage(url: string, html: string): Layout | undefined {
    return this.#known.get(`page ${digestOf(html)}`) ?? this.#known.get(`url ${url}`)
  }
}

/** What came along in something that was found has no outcome of its own. */
function asPart({ fragment, text, inner, madeAtMs, bodyMs, tags }: PutOut): PutOut {
  return { fragment, text, inner: inner.map(asPart), madeAtMs, bodyMs, tags }
}

function bytesOf(inner: readonly PutOut[]): number {
  return inner.reduce((sum, seen) => sum + 300 + bytesOfText(seen.text) + bytesOf(seen.inner), 0)
}

function digestOf(html: string): string {
  return createHash('sha256').update(html).digest('base64')
}

const numbers = new WeakMap<CacheCore, number>()
let count = 0

function keyOf({ cache, variant }: Fragment): string {
  let number = numbers.get(cache)
  if (number === undefined) numbers.set(cache, (number = count++))
  return `fragment ${number} ${variant.storedKey}`
}
