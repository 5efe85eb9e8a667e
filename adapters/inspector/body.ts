import type { IncomingMessage } from 'node:http'
import type { ExpressRequest } from './security.js'

/** A request that is not as it has to be. */
export class RequestFault extends Error {
  constructor(
    readonly status: number,
    message: string,
  ) {
    super(message)
  }
}

/** A body is not longer. */
export const MAX_BODY_BYTES = 16 * 1024

/**
 * Reads the JSON object in a request's body, also where a body parser came before.
 *
 * @throws RequestFault: it is of another kind, too long, or no JSON object.
 */
export async function readJson(req: ExpressRequest): Promise<Readonly<Record<string, unknown>>> {
  const [type = ''] = (req.headers['content-type'] ?? '').split(';')
  // A form of another site can send other kinds without asking.
  if (type.trim().toLowerCase() !== 'application/json') {
    throw new RequestFault(415, 'The body has to be JSON: send Content-Type: application/json.')
  }
  if (Number(req.headers['content-length'] ?? 0) > MAX_BODY_BYTES) throw tooLong()
  const value = isParsed(req.body) ? checkParsed(req.body) : parse(await textOf(req))
  if (typeof value === 'object' && value !== null && !Array.isArray(value)) {
    return value as Readonly<Record<string, unknown>>
  }
  throw new RequestFault(400, 'The body is not a JSON object.')
}

/** An empty object is also what some parsers leave where they did not read anything. */
function isParsed(body: unknown): boolean {
  if (typeof body !== 'object' || body === null) return typeof body === 'string'
  return Buffer.isBuffer(body) || Object.keys(body).length > 0
}

function checkParsed(body: unknown): unknown {
  if (typeof body === 'string' || Buffer.isBuffer(body)) {
    if (body.length > MAX_BODY_BYTES) throw tooLong()
    return parse(body.toString())
  }
  if (JSON.stringify(body).length > MAX_BODY_BYTES) throw tooLong()
  return body
}

/** Not by iteration, whose early end takes the request's socket away. */
function textOf(req: IncomingMessage): Promise<string> {
  // Somebody has read it, and it is gone.
  if (req.readableEnded) return Promise.resolve('{}')
  return new Promise((resolve, reject) => {
    const parts: Buffer[] = []
    let length = 0
    const onData = (part: Buffer) => {
      parts.push(part)
      length += part.length
      if (length <= MAX_BODY_BYTES) return
      req.off('data', onData).pause()
      reject(tooLong())
    }
    const onBroken = () => reject(new RequestFault(400, 'The body broke off.'))
    req
      .on('data', onData)
      .once('end', () => resolve(Buffer.concat(parts).toString()))
      .once('error', onBroken)
      .once('close', onBroken)
  })
}

function parse(text: string): unknown {
  if (text === '') return {}
  try {
    return JSON.parse(text)
  } catch {
    throw new RequestFault(400, 'The body is not JSON.')
  }
}

function tooLong(): RequestFault {
  return new RequestFault(413, `The body is longer than ${MAX_BODY_BYTES} bytes.`)
}
