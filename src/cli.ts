#!/usr/bin/env node
import { realpathSync } from 'node:fs'
import { createRequire } from 'node:module'
import { fileURLToPath } from 'node:url'
import { parseArgs } from 'node:util'
import { makeTemplateFragmentKey } from './fragment/key.js'

/** Where the command line tool writes; a test hands in its own. */
export interface CliOutput {
  readonly out: (text: string) => void
  readonly error: (text: string) => void
}

/** Exit codes, as `fragcache --help` lists them. */
const DONE = 0
const FAILED = 1
const MISUSED = 2

/** Called in a way that the help text explains better than a stack would. */
class UsageError extends Error {}

interface Command {
  readonly usage: string
  readonly summary: string
  readonly help: string
  readonly run: (args: string[], output: CliOutput) => Promise<void> | void
}

const key: Command = {
  usage: "fragcache key NAME [VARY...] [--compat 'django<6.1']",
  summary: 'print the cache key of a template fragment',
  help: `Prints the key under which the fragment NAME is kept for these vary-on values, without key prefix
and version. Each VARY is text; null, true and false are written None, True and False, as they
stand in the key. A value that begins with a dash comes after "--".

  --compat 'django<6.1'  the key of Django before 6.1, where different values can share one key`,
  run(args, { out }) {
    const { values, positionals } = parse(args)
    const [name, ...varyOn] = positionals
    if (name === undefined) throw new UsageError('key: the fragment NAME is missing')
    const { compat } = values
    if (compat === undefined) {
      out(makeTemplateFragmentKey(name, varyOn))
    } else if (compat === 'django<6.1') {
      out(makeTemplateFragmentKey(name, varyOn, { compat }))
    } else {
      throw new UsageError(`key: --compat takes 'django<6.1', not ${JSON.stringify(compat)}`)
    }
  },
}

const commands = new Map<string, Command>([['key', key]])

const overview = (): string => `fragcache COMMAND [ARGUMENTS]

${[...commands.values()].map(({ usage, summary }) => `  ${usage}\n      ${summary}`).join('\n')}

  fragcache COMMAND --help   about one command
  fragcache --version        the version of this package

Exit codes: ${DONE} done, ${FAILED} failed, ${MISUSED} called wrongly.`

function parse(args: string[]): {
  values: { compat?: string | undefined }
  positionals: string[]
} {
  return parseArgs({ args, allowPositionals: true, options: { compat: { type: 'string' } } })
}

const isUsageError = (error: unknown): error is Error =>
  error instanceof UsageError ||
  (error instanceof TypeError &&
    'code' in error &&
    String(error.code).startsWith('ERR_PARSE_ARGS_'))

const version = (): string =>
  (createRequire(import.meta.url)('fragcache/package.json') as { version: string }).version

/** What comes before `--` is for this tool to read. */
const asks = (args: readonly string[], ...flags: string[]): boolean => {
  const end = args.indexOf('--')
  return (end === -1 ? args : args.slice(0, end)).some((arg) => flags.includes(arg))
}

/**
 * Runs the command line tool.
 *
 * @param args - The arguments after the program's name.
 * @returns The exit code: 0 done, 1 failed, 2 called wrongly. It never throws.
 */
export async function main(args: readonly string[], output: CliOutput): Promise<number> {
  const [name, ...rest] = args
  try {
    if (name === '--help' || name === '-h') {
      output.out(overview())
      return DONE
    }
    if (name === '--version' || name === '-v') {
      output.out(version())
      return DONE
    }
    if (name === undefined) throw new UsageError('a command is missing')
    const command = commands.get(name)
    if (command === undefined) throw new UsageError(`${JSON.stringify(name)} is no command`)
    if (asks(rest, '--help', '-h')) {
      output.out(`${command.usage}\n\n${command.help}`)
      return DONE
    }
    await command.run(rest, output)
    return DONE
  } catch (error) {
    if (isUsageError(error)) {
      output.error(`fragcache: ${error.message}\nSee fragcache --help.`)
      return MISUSED
    }
    output.error(`fragcache: ${error instanceof Error ? error.message : String(error)}`)
    return FAILED
  }
}

const started = process.argv[1]
if (started !== undefined && realpathSync(started) === fileURLToPath(import.meta.url)) {
  void main(process.argv.slice(2), {
    out: (text) => void process.stdout.write(`${text}\n`),
    error: (text) => void process.stderr.write(`${text}\n`),
  }).then((code) => {
    process.exitCode = code
  })
}
