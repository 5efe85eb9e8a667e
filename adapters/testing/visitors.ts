import { checkOptions } from '../../src/cache-options.js'
import { show } from '../../src/errors.js'

/** A visitor, identified by the content of the requests. */
export interface TestVisitor {
  /** The `Cookie` header, such as `'sid=…'`. */
  readonly cookie?: string | undefined
  /** Further request headers. */
  readonly headers?: Readonly<Record<string, string>> | undefined
  /** One or several texts that only this visitor's pages show, such as a name. */
  readonly own?: string | readonly string[] | undefined
}

/** Visitors by name, for messages. In a list they are numbered. */
export type Visitors = Readonly<Record<string, TestVisitor>> | readonly TestVisitor[]

/** A visitor whose settings were checked. */
export interface NamedVisitor {
  readonly name: string
  readonly headers: Readonly<Record<string, string>>
  readonly own: readonly string[]
}

/** @throws TypeError: they are fewer than two, or one has an option that nobody knows. */
export function toVisitors(visitors: unknown): readonly NamedVisitor[] {
  if (typeof visitors !== 'object' || visitors === null) throw notTwo()
  const named: [string, unknown][] = Array.isArray(visitors)
    ? visitors.map((visitor, i) => [`visitor ${i + 1}`, visitor])
    : Object.entries(visitors)
  if (named.length < 2) throw notTwo()
  return named.map(([name, visitor]) => toVisitor(name, visitor))
}

function notTwo(): TypeError {
  return new TypeError(
    "sameForAll: visitors: give at least two, for example { anonymous: {}, ann: { cookie: 'sid=…' } }",
  )
}

function toVisitor(name: string, visitor: unknown): NamedVisitor {
  try {
    checkOptions(visitor, ['cookie', 'headers', 'own'])
  } catch (error) {
    const message = (error as Error).message.replace(/^options: /, '')
    throw new TypeError(`sameForAll: visitors: ${JSON.stringify(name)}: ${message}`, {
      cause: error,
    })
  }
  const { cookie, headers = {}, own = [] } = visitor as TestVisitor
  const faulty = (option: string, value: unknown, remedy: string) =>
    new TypeError(
      `sameForAll: visitors: ${JSON.stringify(name)}: ${option}: ${show(value)} ${remedy}`,
    )
  if (cookie !== undefined && typeof cookie !== 'string') {
    throw faulty(
      'cookie',
      cookie,
      "is not a string; give it as it is sent, such as 'sid=…; lang=de'",
    )
  }
  if (typeof headers !== 'object' || (headers as unknown) === null) {
    throw faulty('headers', headers, "are none; give for example { 'accept-language': 'de' }")
  }
  const texts: readonly unknown[] = Array.isArray(own) ? own : [own]
  for (const text of texts) {
    if (typeof text === 'string' && text !== '') continue
    throw faulty(
      'own',
      text,
      'is not a string; give what only this visitor is shown, such as a name',
    )
  }
  return {
    name,
    headers: { ...headers, ...(cookie !== undefined && { cookie }) },
    own: texts as string[],
  }
}
