import { parseArgs } from 'node:util'
import { didYouMean } from '../did-you-mean.js'
import { UsageError } from './faults.js'
import {
  EXIT_DONE,
  EXIT_FAILED,
  EXIT_MISUSED,
  wrap,
  type CliOutput,
  type ExitCode,
} from './terminal.js'

/** An option of a command. Its name in camel case is the key that it is under: `dryRun`, `--dry-run`. */
export interface OptionSpec {
  /** The placeholder of its value in the help. Omitted: it takes none. */
  readonly value?: string
  /** One letter. */
  readonly short?: string
  readonly text: string
}

export type OptionTable = Readonly<Record<string, OptionSpec>>

/** What was given of the options in a table. */
export type OptionValues<O extends OptionTable> = {
  readonly [N in keyof O]?: (O[N] extends { readonly value: string } ? string : boolean) | undefined
}

/** Names of arguments as they are in the help, such as `['<NAME>', '[VARY...]']`, to what is given for them. */
export type ArgumentValues<A extends readonly string[]> = A extends readonly [
  ...infer Single,
  `[${string}...]`,
]
  ? [...{ [I in keyof Single]: string }, ...string[]]
  : { [I in keyof A]: A[I] extends `[${string}]` ? string | undefined : string }

/** A command as it is described. */
export interface CommandSpec<A extends readonly string[], O extends OptionTable> {
  readonly name: string
  /** `<NAME>` has to be there, `[NAME]` need not; the last one may be `[NAME...]`, any number of them. */
  readonly args: A
  /** The arguments and options on the line of usage. */
  readonly usage: string
  /** For the list of commands. */
  readonly summary: string
  /** Paragraphs, however their lines are broken. */
  readonly text: string
  readonly examples: string
  readonly options: O
  readonly run: (
    args: ArgumentValues<A>,
    options: OptionValues<O>,
    output: CliOutput,
  ) => ExitCode | Promise<ExitCode>
}

/** A command, whatever it takes. */
export interface Command extends Omit<
  CommandSpec<readonly string[], OptionTable>,
  'args' | 'options' | 'run'
> {
  readonly args: readonly string[]
  readonly options: OptionTable
  /** @throws UsageError: it is called wrongly. */
  readonly call: (args: readonly string[], output: CliOutput) => ExitCode | Promise<ExitCode>
}

const HELP = { help: { short: 'h', text: 'explain a command' } } as const

/** Makes a command of its description. */
export function command<const A extends readonly string[], const O extends OptionTable>(
  spec: CommandSpec<A, O>,
): Command {
  const options = { ...spec.options, ...HELP }
  const described: Command = {
    ...spec,
    options,
    call: (words, output) => {
      const { args, values } = parse(described, words)
      if (values['help'] === true) {
        output.out(helpOf(described))
        return EXIT_DONE
      }
      checkArguments(described, args)
      // The table says what each is.
      return spec.run(args as ArgumentValues<A>, values as OptionValues<O>, output)
    },
  }
  return described
}

/** `dryRun` as it is typed: `--dry-run`. */
const flagOf = (name: string): string =>
  `--${name.replace(/[A-Z]/g, (letter) => `-${letter.toLowerCase()}`)}`

interface Parsed {
  readonly args: string[]
  readonly values: Readonly<Record<string, string | boolean>>
}

function parse({ name: command, options }: Command, words: readonly string[]): Parsed {
  const named = new Map(Object.entries(options).map(([name, one]) => [flagOf(name), { name, one }]))
  const { tokens } = parseArgs({
    args: [...words],
    // What is wrong is said below, in this tool's own words.
    strict: false,
    tokens: true,
    options: Object.fromEntries(
      [...named].map(([flag, { one }]) => [
        flag.slice(2),
        {
          type: one.value === undefined ? ('boolean' as const) : ('string' as const),
          ...(one.short === undefined ? undefined : { short: one.short }),
        },
      ]),
    ),
  })
  const args: string[] = []
  const values: Record<string, string | boolean> = {}
  for (const token of tokens) {
    if (token.kind === 'positional') args.push(token.value)
    if (token.kind !== 'option') continue
    const { rawName, value, inlineValue } = token
    const found = named.get(`--${token.name}`)
    if (found === undefined) {
      const known = [...named.keys()]
      const hint = rawName.startsWith('--') ? didYouMean(rawName, known) : ''
      throw new UsageError(
        `${command}: unknown option '${rawName}'; known are ${known.join(', ')}${hint}`,
      )
    }
    const { name, one } = found
    if (one.value === undefined) {
      if (inlineValue === true) {
        throw new UsageError(
          `${command}: ${rawName} takes no value; ${JSON.stringify(value)} is given`,
        )
      }
      values[name] = true
    } else {
      // As a next option it would be taken for a value, which nobody means.
      if (value === undefined || (inlineValue === false && /^-./.test(value))) {
        const how =
          value === undefined ? '' : `; a value with a dash is written --${token.name}=${value}`
        throw new UsageError(`${command}: ${rawName}: ${one.value} is missing${how}`)
      }
      if (name in values) throw new UsageError(`${command}: ${rawName} is given twice`)
      values[name] = value
    }
  }
  return { args, values }
}

function checkArguments(
  { name: command, args: named, usage }: Command,
  given: readonly string[],
): void {
  const refuse = (what: string): never => {
    const line = usage.replaceAll(/\s+/g, ' ')
    throw new UsageError(`${command}: ${what}\nUsage: fragcache ${command} ${line}`)
  }
  const missing = named.filter((one) => one.startsWith('<'))[given.length]
  if (missing !== undefined) refuse(`${missing.slice(1, -1)} is missing`)
  if (named.some((one) => one.endsWith('...]'))) return
  const [extra] = given.slice(named.length)
  if (extra !== undefined) refuse(`${JSON.stringify(extra)} is one argument too many`)
}

/** A name that is no command, in a message. */
export function unknownCommand(name: string, commands: readonly Command[]): UsageError {
  const known = [...commands.map((one) => one.name), 'help']
  return new UsageError(
    `${JSON.stringify(name)} is not a command; the commands are ${known.join(', ')}${didYouMean(name, known)}`,
  )
}

export const EXIT_CODES = `Exit codes: ${EXIT_DONE} done, ${EXIT_FAILED} failed, ${EXIT_MISUSED} wrong usage.`

/** Explains a command. */
function helpOf({ name, usage, text, examples, options }: Command): string {
  const rows = Object.entries(options).map(([key, { short, value, text: explained }]) => {
    const flag = flagOf(key)
    const names = short === undefined ? flag : `-${short}, ${flag}`
    return [value === undefined ? names : `${names} <${value}>`, explained] as const
  })
  return [
    `Usage: fragcache ${name} ${usage}`,
    text
      .split('\n\n')
      .map((one) => wrap('', one))
      .join('\n\n'),
    `Options:\n${list(rows)}`,
    `Examples:\n${examples.replace(/^/gm, '  ')}`,
    EXIT_CODES,
  ].join('\n\n')
}

/** Explains the tool. @param firstSteps - What comes last. */
export function helpOfAll(
  about: string,
  options: OptionTable,
  commands: readonly Command[],
  firstSteps: string,
): string {
  const rows = commands.map(
    ({ name, args, summary }) => [[name, '[options]', ...args].join(' '), summary] as const,
  )
  const general = Object.entries({ ...options, ...HELP }).map(
    ([name, { short, text }]) => [`-${short}, ${flagOf(name)}`, text] as const,
  )
  return [
    'Usage: fragcache COMMAND [ARGUMENTS]',
    about,
    `Options:\n${list(general)}`,
    `Commands:\n${list([...rows, ['help [COMMAND]', HELP.help.text]])}`,
    firstSteps,
    EXIT_CODES,
  ].join('\n\n')
}

function list(rows: readonly (readonly [name: string, text: string])[]): string {
  const width = Math.max(...rows.map(([name]) => name.length))
  return rows.map(([name, text]) => wrap(`  ${name.padEnd(width)}  `, text)).join('\n')
}
