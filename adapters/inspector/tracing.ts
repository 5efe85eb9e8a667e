import { neverThrowing } from '../../src/observe/watch.js'
import type { Happening } from './events.js'
import type { Answering, RequestStarted } from './requests.js'
import { isOfCaches, Trace, type TraceTaker } from './traces.js'

/** So long after its answer was sent, a page that is still being stored is waited for. */
const TOLD_WITHIN_MS = 5000
/** Traces that wait for that; of more, the oldest end without it. */
const MAX_WAITING = 200

/** Notes what happens in the requests that are traced. */
export class Tracing {
  /** Those that were answered and still wait, the oldest first, each with what ends its waiting. */
  readonly #waiting = new Map<Trace, NodeJS.Timeout>()

  constructor(private readonly taker: TraceTaker) {}

  begin(answering: Answering, { request, response }: RequestStarted): void {
    if (!this.taker.beginsTrace()) return
    const { method = '', url = '' } = request
    const trace = new Trace(method, url, (trace) => {
      clearTimeout(this.#waiting.get(trace))
      this.#waiting.delete(trace)
      this.taker.endTrace(trace)
    })
    answering.trace = trace
    response.once('close', () => {
      trace.answered()
      if (trace.isWaiting) this.#wait(trace)
      else trace.end()
    })
  }

  #wait(trace: Trace): void {
    const onTime = neverThrowing('inspector')(() => trace.end())
    this.#waiting.set(trace, setTimeout(onTime, TOLD_WITHIN_MS).unref())
    if (this.#waiting.size > MAX_WAITING) this.#waiting.keys().next().value?.end()
  }

  /** Notes what happens while a request is being answered. */
  add(answering: Answering, happening: Happening): void {
    const { trace } = answering
    if (trace !== undefined) trace.add(happening)
    else if (!answering.isCounted && isOfCaches(happening)) {
      answering.isCounted = true
      this.taker.countRequest()
    }
  }

  close(): void {
    for (const timer of this.#waiting.values()) clearTimeout(timer)
  }
}
