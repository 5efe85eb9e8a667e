import { isUtf8 } from 'node:buffer'
import { subscribe, unsubscribe } from 'node:diagnostics_channel'
import { once } from 'node:events'
import http, { type IncomingMessage, type ServerResponse } from 'node:http'
import https from 'node:https'
import type { AddressInfo } from 'node:net'
import { show } from '../../src/errors.js'
import type { FragmentMessage } from '../../src/observe/channels.js'

/**
 * A site: an Express app or another listener of `node:http`, a server, or the URL of a running one.
 */
export type TestedSite =
  | ((req: IncomingMessage, res: ServerResponse) => unknown)
  | http.Server
  | https.Server
  | URL
  | string

/** What a visitor got. */
export interface Visit {
  readonly status: number
  readonly headers: http.IncomingHttpHeaders
  /** What is compared: status, headers of the page's own, and body. */
  readonly text: string
  /** What `Set-Cookie` says: name and value of each. */
  readonly cookies: readonly string[]
  /** Fragments that came from the cache, where the site runs in this process. */
  readonly fragments: readonly string[]
}

/** Longer than a page may take in a test. */
const LIMIT_MS = 30_000

/** A site that answers requests. */
export class OpenSite {
  private constructor(
    readonly origin: URL,
    private readonly server: http.Server | undefined,
  ) {}

  /** @throws TypeError: it is none of these. */
  static async open(site: unknown): Promise<OpenSite> {
    if (typeof site === 'string' || site instanceof URL)
      return new OpenSite(toOrigin(site), undefined)
    const isServer = site instanceof http.Server || site instanceof https.Server
    if (!isServer && typeof site !== 'function') {
      throw new TypeError(
        `sameForAll: ${show(site)} is not a site; give an Express app, a listener or server of node:http, or the URL where one listens`,
      )
    }
    const server = isServer ? site : http.createServer(site as http.RequestListener)
    const isOurs = !server.listening
    if (isOurs) {
      server.listen(0, '127.0.0.1')
      await once(server, 'listening')
    }
    const address = server.address() as AddressInfo | string
    if (typeof address === 'string') {
      throw new TypeError(`sameForAll: the server listens at ${address}; let it listen at a port`)
    }
    const protocol = server instanceof https.Server ? 'https' : 'http'
    const origin = new URL(`${protocol}://127.0.0.1:${address.port}`)
    return new OpenSite(origin, isOurs ? server : undefined)
  }

  /** Stops listening, unless it did so before. */
  async close(): Promise<void> {
    if (this.server === undefined) return
    this.server.closeAllConnections()
    this.server.close()
    await once(this.server, 'close')
  }

  /** @throws Error: nobody answers. */
  async get(path: string, headers: Readonly<Record<string, string>>): Promise<Visit> {
    const fragments = new Set<string>()
    const hear = (message: unknown) => {
      const { name, outcome, template } = message as FragmentMessage
      if (outcome !== 'hit' && outcome !== 'stale') return
      fragments.add(template === undefined ? name : `${name} (${template})`)
    }
    subscribe('fragcache:fragment', hear)
    try {
      const { response, body } = await this.#ask(path, headers)
      const { statusCode = 0, headers: answered } = response
      return {
        status: statusCode,
        headers: answered,
        text: `HTTP ${statusCode}\n${linesOf(answered)}${body}`,
        cookies: (answered['set-cookie'] ?? []).map((line) => line.split(';', 1)[0]?.trim() ?? ''),
        fragments: [...fragments],
      }
    } finally {
      unsubscribe('fragcache:fragment', hear)
    }
  }

  async #ask(path: string, headers: Readonly<Record<string, string>>) {
    const url = new URL(path, this.origin)
    const options = {
      headers: { 'accept-encoding': 'identity', ...headers },
      agent: false,
      timeout: LIMIT_MS,
      // A test server's certificate is its own.
      rejectUnauthorized: false,
    } as const
    const request = (url.protocol === 'https:' ? https : http).request(url, options)
    request.on('timeout', () => {
      request.destroy(new Error(`it took longer than ${LIMIT_MS / 1000} s`))
    })
    request.end()
    const [response] = await (once(request, 'response') as Promise<[IncomingMessage]>).catch(
      (cause: unknown) => {
        const { message, code } = cause as NodeJS.ErrnoException
        // Where a host has several addresses, the error of all of them has no message.
        const why = message === '' ? code : message
        throw new Error(
          `sameForAll: no answer at ${url.href}: ${why}; start the site first, or look at what it logs`,
          { cause },
        )
      },
    )
    const parts: Buffer[] = []
    for await (const part of response) parts.push(part as Buffer)
    const body = Buffer.concat(parts)
    // Bytes that are no text would all be read as the same character.
    return { response, body: body.toString(isUtf8(body) ? 'utf8' : 'latin1') }
  }
}

/** Headers in which a page says something of its own; others tell of the response, or of a cache. */
const OF_PAGES =
  /^(?:content-disposition|content-language|link|location|refresh|x-(?!powered-by$|cache).+)$/

/** The headers that visitors share where they share a page. */
function linesOf(headers: Visit['headers']): string {
  const lines = Object.entries(headers).filter(([name]) => OF_PAGES.test(name))
  const shown = (name: string) => name.replace(/\b[a-z]/g, (letter) => letter.toUpperCase())
  return lines.map(([name, value]) => `${shown(name)}: ${String(value)}\n`).join('')
}

function toOrigin(site: string | URL): URL {
  const url = URL.canParse(String(site)) ? new URL(site) : undefined
  if (url !== undefined && /^https?:$/.test(url.protocol)) return url
  throw new TypeError(
    `sameForAll: ${show(String(site))} is not the URL of a site; give one such as 'http://127.0.0.1:3000'`,
  )
}
