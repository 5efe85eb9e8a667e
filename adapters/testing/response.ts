import { show } from '../../src/errors.js'

/**
 * A response of any client or server: of `fetch`, supertest, axios, got, `inject` of Fastify and
 * light-my-request, Playwright, or `node:http` on either side.
 */
export type AnyResponse =
  | {
      /** The header fields by name, a `Headers` object, or a function that returns them. */
      readonly headers: object
    }
  | {
      /** Like `getHeader` of a `ServerResponse`. */
      readonly getHeader: (name: string) => unknown
    }

/**
 * A header field of a response; several lines are one text.
 *
 * @param caller - For messages.
 * @throws TypeError: it is no response.
 */
export function headerIn(caller: string, res: unknown, name: string): string | undefined {
  const value = valueIn(caller, res, name)
  if (value === undefined || value === null) return undefined
  return Array.isArray(value) ? value.join(', ') : (value as string | number).toString()
}

function valueIn(caller: string, res: unknown, name: string): unknown {
  const given = Object(res) as {
    readonly then?: unknown
    readonly getHeader?: unknown
    readonly headers?: unknown
  }
  // A request of supertest has headers too, those that it sends.
  if (typeof given.then === 'function') {
    throw new TypeError(`${caller}: this is a promise of a response; await it first`)
  }
  if (typeof given.getHeader === 'function') return (given.getHeader as Getter).call(res, name)
  const headers: unknown =
    typeof given.headers === 'function' ? Reflect.apply(given.headers, res, []) : given.headers
  if (typeof headers !== 'object' || headers === null) {
    throw new TypeError(
      `${caller}: ${show(res)} is not a response; give the result of fetch, supertest or inject, or a response of node:http`,
    )
  }
  const { get } = headers as { readonly get?: unknown }
  if (typeof get === 'function') return (get as Getter).call(headers, name)
  const key = Object.keys(headers).find((one) => one.toLowerCase() === name)
  return key === undefined ? undefined : (headers as Readonly<Record<string, unknown>>)[key]
}

type Getter = (name: string) => unknown
