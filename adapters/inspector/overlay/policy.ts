import { createHash } from 'node:crypto'

/** How the overlay's script may run under a page's content security policies. */
export interface ScriptPermit {
  /** Of a policy that has one. */
  readonly nonce: string | undefined
  /** Whether each policy lets the script run, by its nonce or as it is. */
  readonly isAllowed: boolean
}

/** @see Content Security Policy Level 3, "Directives Fallback List" */
const OF_SCRIPT_ELEMENTS = ['script-src-elem', 'script-src', 'default-src']

interface Directive {
  readonly name: string
  readonly sources: readonly string[]
}

/** The source by which a policy allows one script and no other. */
export function hashSource(script: string): string {
  return `'sha256-${createHash('sha256').update(script).digest('base64')}'`
}

/**
 * Looks for a way to run a script.
 *
 * @param values - The values of `Content-Security-Policy`.
 */
export function permitOf(values: readonly string[], hash: string): ScriptPermit {
  const directives = values.flatMap(policiesIn).map(ofScripts)
  const nonce = directives
    .flatMap((directive) => directive?.sources ?? [])
    .map((source) => /^'nonce-([\w+/=-]+)'$/i.exec(source)?.[1])
    .find((found) => found !== undefined)
  return { nonce, isAllowed: directives.every((directive) => allows(directive, nonce, hash)) }
}

/**
 * A value of `Content-Security-Policy` that allows one more script, and that it asks this site.
 *
 * @returns The same where it does so already.
 */
export function allowing(value: string, nonce: string | undefined, hash: string): string {
  return policiesIn(value)
    .map((policy) => {
      const scripts = ofScripts(policy)
      const isRun = scripts === undefined || allows(scripts, nonce, hash)
      const run = isRun ? policy : widened(policy, scripts, 'script-src', hash)
      const asked = effective(run, ['connect-src', 'default-src'])
      const mayAsk = asked === undefined || asked.sources.some((source) => MAY_ASK.test(source))
      return mayAsk ? run : widened(run, asked, 'connect-src', "'self'")
    })
    .join(', ')
}

const MAY_ASK = /^('self'|\*)$/i

/**
 * A policy with one more source. What falls back to `default-src` gets a directive of its own, so that
 * nothing else is allowed more than before.
 */
function widened(policy: string, given: Directive, name: string, source: string): string {
  const sources = given.sources.filter((one) => one.toLowerCase() !== "'none'")
  const more = [...sources, source].join(' ')
  if (given.name === 'default-src') {
    const whole = policy.trimEnd()
    return `${whole.endsWith(';') ? whole.slice(0, -1) : whole}; ${name} ${more}`
  }
  return policy
    .split(';')
    .map((text) => (toDirective(text).name === given.name ? ` ${given.name} ${more}` : text))
    .join(';')
    .trim()
}

/** One header may hold several. */
function policiesIn(value: string): readonly string[] {
  return value
    .split(',')
    .map((policy) => policy.trim())
    .filter((policy) => policy !== '')
}

function toDirective(text: string): Directive {
  const [name = '', ...sources] = text.trim().split(/\s+/)
  return { name: name.toLowerCase(), sources }
}

/** What a policy says of `script` elements. */
function ofScripts(policy: string): Directive | undefined {
  return effective(policy, OF_SCRIPT_ELEMENTS)
}

/** Of two directives with one name, the first counts. */
function effective(policy: string, names: readonly string[]): Directive | undefined {
  const directives = policy.split(';').map(toDirective)
  for (const name of names) {
    const found = directives.find((directive) => directive.name === name)
    if (found !== undefined) return found
  }
  return undefined
}

function allows(
  directive: Directive | undefined,
  nonce: string | undefined,
  hash: string,
): boolean {
  if (directive === undefined) return true
  const sources = directive.sources.map((source) =>
    /^'(?:nonce|sha\d+)-/i.test(source) ? source : source.toLowerCase(),
  )
  if (nonce !== undefined && sources.includes(`'nonce-${nonce}'`)) return true
  if (sources.includes(hash)) return true
  const isStrict = sources.some((source) => /^'(?:nonce-|sha\d+-|strict-dynamic')/i.test(source))
  return sources.includes("'unsafe-inline'") && !isStrict
}
