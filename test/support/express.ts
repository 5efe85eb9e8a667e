import { once } from 'node:events'
import http from 'node:http'
import { createRequire } from 'node:module'
import net, { type AddressInfo } from 'node:net'
import express5, { type Express } from 'express'
import { onTestFinished } from 'vitest'

// The alias has no types of its own; what is used here is the same in both.
const express4 = createRequire(import.meta.url)('express4') as typeof express5

export const expressVersions = [
  { version: 'Express 4', express: express4 },
  { version: 'Express 5', express: express5 },
] as const

/**
 * For what adapters/node and src/pages do: they know no Express, and what both versions make of a request that
 * they read is told by express.test.ts, express-site.test.ts and express-layers.test.ts.
 */
export const oneExpress = expressVersions.slice(-1)

const require = createRequire(import.meta.url)

type Middleware = express5.RequestHandler

// They have no types here.
export const compression = require('compression') as (options?: object) => Middleware
export const session = require('express-session') as (options: object) => Middleware
export const cookieSession = require('cookie-session') as (options: object) => Middleware
export const cookieParser = require('cookie-parser') as (secret?: string) => Middleware
export const methodOverride = require('method-override') as (
  getter: string,
  options?: object,
) => Middleware

/** What a client got. */
export interface Answer {
  readonly status: number
  readonly statusMessage: string
  readonly headers: http.IncomingHttpHeaders
  /** Name and value in turns, as they came. */
  readonly rawHeaders: readonly string[]
  readonly body: Buffer
  readonly text: string
  /** What the cache says of it, without the numbers that change. */
  readonly cacheStatus: string | undefined
}

export interface RequestOptions {
  readonly method?: string
  readonly headers?: http.OutgoingHttpHeaders
  readonly body?: string
}

/** A server and a client for it. Both are gone when the test is over. */
export class Site {
  private constructor(
    readonly server: http.Server,
    readonly port: number,
  ) {}

  static async open(app: Express | http.RequestListener): Promise<Site> {
    const server = http.createServer(app as http.RequestListener).listen(0, '127.0.0.1')
    await once(server, 'listening')
    onTestFinished(async () => {
      server.closeAllConnections()
      server.close()
      await once(server, 'close')
    })
    return new Site(server, (server.address() as AddressInfo).port)
  }

  get origin(): string {
    return `http://127.0.0.1:${this.port}`
  }

  /** A GET unless told otherwise; waits for the whole answer. */
  async get(path: string, options: RequestOptions = {}): Promise<Answer> {
    const request = this.request(path, options)
    // What comes after the answer is nobody's affair here.
    request.on('error', () => undefined)
    request.end(options.body)
    const [response] = (await once(request, 'response')) as [http.IncomingMessage]
    const parts: Buffer[] = []
    for await (const part of response) parts.push(part as Buffer)
    const body = Buffer.concat(parts)
    return {
      status: response.statusCode ?? 0,
      statusMessage: response.statusMessage ?? '',
      headers: response.headers,
      rawHeaders: response.rawHeaders,
      body,
      text: body.toString(),
      cacheStatus: response.headers['cache-status']?.toString(),
    }
  }

  request(path: string, { method = 'GET', headers = {} }: RequestOptions = {}): http.ClientRequest {
    const { port } = this
    return http.request({ host: '127.0.0.1', port, path, method, headers, agent: false })
  }

  /** Sends these bytes and gives what came back until the server closed. */
  async raw(text: string): Promise<string> {
    const socket = net.connect(this.port, '127.0.0.1')
    socket.end(text)
    let answer = ''
    for await (const part of socket) answer += (part as Buffer).toString('latin1')
    return answer
  }
}

/** The headers as they came, without those that every answer has again. */
export function comparable(answer: Answer): string[] {
  const again = new Set(['age', 'cache-status', 'connection', 'keep-alive', 'transfer-encoding'])
  const lines: string[] = []
  for (let i = 0; i < answer.rawHeaders.length; i += 2) {
    const name = answer.rawHeaders[i] ?? ''
    if (!again.has(name.toLowerCase())) lines.push(`${name}: ${answer.rawHeaders[i + 1]}`)
  }
  return lines
}

/** Waits until something holds, for as long as a machine with much else to do may take. */
export async function eventually(holds: () => boolean): Promise<void> {
  const untilMs = performance.now() + 10_000
  while (!holds() && performance.now() < untilMs) {
    await new Promise((resolve) => setTimeout(resolve, 5))
  }
  if (!holds()) throw new Error('it did not happen within ten seconds')
}
