import type { IncomingMessage, ServerResponse } from 'node:http'
import { neverThrowing } from '../../src/observe/watch.js'
import type { Batch } from './api.js'
import type { Happening } from './events.js'
import { Sampler } from './sampler.js'
import type { TraceTaker } from './traces.js'

/** Four batches a second. */
const BATCH_MS = 250
/** Proxies close what is silent for longer. */
const HEARTBEAT_BATCHES = 60
/** A client that has more than this still to read is passed over. */
const MAX_UNREAD_BYTES = 256 * 1024
/** One that is passed over for five seconds is let go. */
const MAX_PASSED_OVER = 20
/** So long a client may take to read the end. */
const LAST_WORD_MS = 1000
/** Milliseconds after which a page asks again. */
const RETRY_MS = 3000

interface Client {
  readonly req: IncomingMessage
  readonly res: ServerResponse
  /** What it was not sent. */
  missed: number
  passedOver: number
}

/**
 * Sends what happens to the pages that look, as server-sent events. While there is none it listens to
 * nothing.
 *
 * @see WHATWG HTML, "Server-sent events"
 */
export class Feed {
  readonly #clients = new Set<Client>()
  readonly #sampler: Sampler
  #timer: NodeJS.Timeout | undefined
  #stop: (() => void) | undefined
  #batches = 0

  /**
   * @param maxClients - More are refused.
   * @param start - Begins to tell what happens; what it returns ends that.
   */
  constructor(
    private readonly maxClients: number,
    private readonly start: (
      tell: (happening: Happening) => void,
      traces: TraceTaker,
    ) => () => void,
    random?: () => number,
  ) {
    this.#sampler = new Sampler(random)
  }

  get hasClients(): boolean {
    return this.#clients.size > 0
  }

  /** @returns `false`: there are too many. */
  connect(req: IncomingMessage, res: ServerResponse): boolean {
    if (this.#clients.size >= this.maxClients) return false
    res.statusCode = 200
    res.setHeader('Content-Type', 'text/event-stream')
    // A connection that is kept alive after it would keep a server from closing.
    res.shouldKeepAlive = false
    // Compression would hold events back, and so would a proxy.
    res.setHeader('Cache-Control', 'private, no-store, no-transform')
    res.setHeader('X-Accel-Buffering', 'no')
    if (req.method === 'HEAD') {
      res.end()
      return true
    }
    const client: Client = { req, res, missed: 0, passedOver: 0 }
    this.#clients.add(client)
    res.once('close', () => this.#leave(client))
    res.on('error', () => this.#leave(client))
    res.write(`retry: ${RETRY_MS}\n\n`)
    if (this.#timer === undefined) {
      this.#stop = this.start(
        (happening) => this.#sampler.add(happening, Date.now()),
        this.#sampler,
      )
      const onTime = neverThrowing('inspector')(() => this.#send())
      this.#timer = setInterval(onTime, BATCH_MS).unref()
    }
    return true
  }

  /** Lets all clients go. */
  close(): void {
    for (const client of this.#clients) this.#drop(client)
  }

  #leave(client: Client): void {
    if (!this.#clients.delete(client) || this.#clients.size > 0) return
    clearInterval(this.#timer)
    this.#timer = undefined
    this.#stop?.()
    this.#stop = undefined
    this.#sampler.take()
  }

  #drop(client: Client): void {
    const { res } = client
    this.#leave(client)
    res.end()
    // Who reads nothing would never see the end.
    setTimeout(() => res.destroy(), LAST_WORD_MS).unref()
  }

  #send(): void {
    for (const client of this.#clients) if (isClosing(client)) this.#drop(client)
    if (this.#clients.size === 0) return
    const batch = this.#sampler.take()
    const isBeat = ++this.#batches % HEARTBEAT_BATCHES === 0
    if (batch === undefined && !isBeat) return
    const text = batch === undefined ? ':\n\n' : this.#textOf(batch)
    for (const client of this.#clients) this.#sendTo(client, batch, text)
  }

  #sendTo(client: Client, batch: Batch | undefined, text: string): void {
    const { res } = client
    if (res.writableLength > MAX_UNREAD_BYTES) {
      client.missed += batch?.seen ?? 0
      if (++client.passedOver > MAX_PASSED_OVER) {
        this.#leave(client)
        res.destroy()
      }
      return
    }
    client.passedOver = 0
    if (client.missed === 0 || batch === undefined) {
      res.write(text)
      return
    }
    const { missed } = client
    client.missed = 0
    res.write(
      this.#textOf({
        ...batch,
        seen: batch.seen + missed,
        dropped: batch.dropped + missed,
      }),
    )
  }

  #textOf(batch: Batch): string {
    return `id: ${batch.events.at(-1)?.id ?? batch.requests.at(-1)?.id ?? 0}\nevent: batch\ndata: ${JSON.stringify(batch)}\n\n`
  }
}

/** A server that is closing waits for its connections, and this one would have no end. */
function isClosing({ req }: Client): boolean {
  const { server } = req.socket as { readonly server?: { readonly listening?: boolean } }
  return server?.listening === false
}
