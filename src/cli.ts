#!/usr/bin/env node
import { realpathSync } from 'node:fs'
import { createRequire } from 'node:module'
import { fileURLToPath } from 'node:url'
import { CommanderError } from 'commander'
import { errorLine, UsageError } from './cli/faults.js'
import { makeProgram } from './cli/program.js'
import { EXIT_DONE, EXIT_FAILED, EXIT_MISUSED, visible, type CliOutput } from './cli/terminal.js'

export type { CliOutput } from './cli/terminal.js'

const version = (): string =>
  (createRequire(import.meta.url)('fragcache/package.json') as { version: string }).version

/**
 * Runs the command line tool.
 *
 * @param args - The arguments after the program's name.
 * @returns The exit code: 0 done, 1 failed, 2 called wrongly. It never throws.
 */
export async function main(args: readonly string[], output: CliOutput): Promise<number> {
  const { command, code } = makeProgram(version, output)
  const ordered = commandFirst(args)
  const name = command.commands.find((one) => one.name() === ordered[0])?.name()
  try {
    if (args.length === 0) throw new UsageError('a command is missing')
    await command.parseAsync(ordered, { from: 'user' })
    return code()
  } catch (error) {
    if (error instanceof CommanderError && error.exitCode === 0) return EXIT_DONE
    if (error instanceof UsageError || error instanceof CommanderError) {
      const message = error instanceof CommanderError ? explain(error, name) : error.message
      const help = name === undefined ? '--help' : `${name} --help`
      output.error(visible(`fragcache: ${message}\nSee fragcache ${help}.`))
      return EXIT_MISUSED
    }
    output.error(visible(`fragcache: ${after(name, errorLine(error))}`))
    return EXIT_FAILED
  }
}

/** What is wrong, after the name of the command, as the messages begin that are a command's own. */
function after(command: string | undefined, message: string): string {
  if (command === undefined) return message
  const before = `${command}: `
  // Some functions are called as the command is.
  const isNamed = message.toLowerCase().startsWith(before)
  return before + (isNamed ? message.slice(before.length) : message)
}

/** The option of nearly every command may stand before it too. */
function commandFirst(args: readonly string[]): string[] {
  const isApart = args[0] === '--config' || args[0] === '-c'
  if (!isApart && args[0]?.startsWith('--config=') !== true) return [...args]
  const count = isApart ? 2 : 1
  const [command, ...rest] = args.slice(count)
  return command === undefined ? [...args] : [command, ...args.slice(0, count), ...rest]
}

/** What the parser says, in this tool's own words. */
function explain({ code, message }: CommanderError, command: string | undefined): string {
  const said = message.replace(/^error: /, '')
  if (code === 'commander.unknownCommand') {
    const [, name = '', hint = ''] = /^unknown command '(.*)'(?:\n(.*))?$/s.exec(said) ?? []
    return `${JSON.stringify(name)} is no command${hint === '' ? '' : ` ${hint}`}`
  }
  if (code === 'commander.missingArgument') {
    const [, name = ''] = /'(.*)'/s.exec(said) ?? []
    return after(command, `${name} is missing`)
  }
  return after(command, said.replace('\n', ' '))
}

/** Warnings of what a command itself fails with and says. */
const SAID_ANYWAY = ['CacheOutageWarning', 'CacheRefusalWarning']

function runAsProgram(): void {
  process.removeAllListeners('warning')
  process.on('warning', ({ name, message }) => {
    if (!SAID_ANYWAY.includes(name)) process.stderr.write(`${visible(`${name}: ${message}`)}\n`)
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
