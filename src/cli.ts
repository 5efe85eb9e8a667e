#!/usr/bin/env node
import { realpathSync } from 'node:fs'
import { fileURLToPath } from 'node:url'
import { unknownCommand } from './cli/arguments.js'
import { errorLine, UsageError } from './cli/faults.js'
import { COMMANDS, help } from './cli/program.js'
import { EXIT_DONE, EXIT_FAILED, EXIT_MISUSED, visible, type CliOutput } from './cli/terminal.js'
import { didYouMean } from './did-you-mean.js'
import { packageVersion } from './version.js'

export type { CliOutput } from './cli/terminal.js'

/**
 * Runs the command line tool.
 *
 * @param args - The arguments after the program's name.
 * @returns The exit code: 0 done, 1 failed, 2 wrong usage. It never throws.
 */
export async function main(args: readonly string[], output: CliOutput): Promise<number> {
  const [name, ...words] = commandFirst(args)
  const command = COMMANDS.find((one) => one.name === name)
  try {
    return await (command === undefined ? answer(name, words, output) : command.call(words, output))
  } catch (error) {
    if (error instanceof UsageError) {
      const help = command === undefined ? '--help' : `${command.name} --help`
      output.error(visible(`fragcache: ${error.message}\nSee fragcache ${help}.`))
      return EXIT_MISUSED
    }
    output.error(visible(`fragcache: ${after(command?.name, errorLine(error))}`))
    return EXIT_FAILED
  }
}

/** What is no command over something. */
async function answer(
  name: string | undefined,
  words: readonly string[],
  output: CliOutput,
): Promise<number> {
  const [about] = words
  if (name === undefined) throw new UsageError('a command is missing')
  if (name === '--version' || name === '-v') {
    output.out(packageVersion())
  } else if (name === '--help' || name === '-h' || (name === 'help' && (about ?? name) === name)) {
    output.out(help())
  } else if (name === 'help' && about !== undefined) {
    const command = COMMANDS.find((one) => one.name === about)
    if (command === undefined) throw unknownCommand(about, COMMANDS)
    return command.call(['--help'], output)
  } else {
    throw name.startsWith('-')
      ? new UsageError(`unknown option '${name}'${didYouMean(name, ['--help', '--version'])}`)
      : unknownCommand(name, COMMANDS)
  }
  return EXIT_DONE
}

/** What is wrong, after the name of the command, as the messages begin that are a command's own. */
function after(command: string | undefined, message: string): string {
  if (command === undefined) return message
  const before = `${command}: `
  // Some functions are called as the command is.
  const isNamed = message.toLowerCase().startsWith(before)
  return before + (isNamed ? message.slice(before.length) : message)
}

/** The option of nearly every command may come before it too. */
function commandFirst(args: readonly string[]): string[] {
  const isApart = args[0] === '--config' || args[0] === '-c'
  if (!isApart && args[0]?.startsWith('--config=') !== true) return [...args]
  const count = isApart ? 2 : 1
  const [command, ...rest] = args.slice(count)
  return command === undefined ? [] : [command, ...args.slice(0, count), ...rest]
}

/** Warnings of what a command itself fails with and says. */
const SAID_ANYWAY = ['CacheOutageWarning', 'CacheRefusalWarning']

/** What Node warns of when it loads a configuration: it is loaded, or the command says why not. */
const OF_LOADING = /^(?:Module type of|Failed to load the ES module|Type Stripping is)\b/

function runAsProgram(): void {
  process.removeAllListeners('warning')
  process.on('warning', ({ name, message }) => {
    if (SAID_ANYWAY.includes(name) || OF_LOADING.test(message)) return
    process.stderr.write(`${visible(`${name}: ${message}`)}\n`)
  })
  let isOver = false
  // A configuration may end the process, or wait for what does not come: then nothing was done.
  process.once('exit', (code) => {
    if (isOver || code !== EXIT_DONE) return
    process.stderr.write('fragcache: the process ended before the command was done\n')
    process.exitCode = EXIT_FAILED
  })
  // Who reads the result may have read enough, as head does.
  process.stdout.on('error', (error: NodeJS.ErrnoException) => {
    isOver = true
    process.exit(error.code === 'EPIPE' ? EXIT_DONE : EXIT_FAILED)
  })
  void main(process.argv.slice(2), {
    out: (text) => void process.stdout.write(`${text}\n`),
    error: (text) => void process.stderr.write(`${text}\n`),
    isTerminal: process.stdout.isTTY,
    untilInterrupted: () => {
      const interruption = new AbortController()
      process.once('SIGINT', () => interruption.abort())
      return interruption.signal
    },
  }).then((code) => {
    isOver = true
    process.exitCode = code
    // What the configuration opened, such as pools, is not this program's to close.
    process.stdout.write('', () => process.stderr.write('', () => process.exit()))
  })
}

const started = process.argv[1]
if (started !== undefined && realpathSync(started) === fileURLToPath(import.meta.url)) {
  runAsProgram()
}
