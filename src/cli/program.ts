/** The command line: finds the command, loads it, parses its arguments, and turns an error into an exit code. */

import { Command, CommanderError, Option } from 'commander'
import { LtxdError } from '../util/errors.ts'
import { VERSION } from '../util/version.ts'
import { type CommandEntry, COMMANDS } from './commands.ts'
import { printableLines } from './output/output.ts'
import { assertNoSecrets } from './secret-arguments.ts'

/** Options that take a value and may come before the command. */
const VALUED = ['--config']

/** Runs one command line (`process.argv` without its first two items) and resolves with the exit code. */
export async function runCommandLine(args: readonly string[]): Promise<number> {
  try {
    const entry = findEntry(args)
    const [own, application] = entry?.takesProgram === true ? splitAtDashes(args) : [args, undefined]
    assertNoSecrets(own)
    const program = await buildProgram(entry)
    if (application !== undefined) program.setOptionValue('application', application)
    await program.parseAsync(own, { from: 'user' })
    return typeof process.exitCode === 'number' ? process.exitCode : 0
  } catch (error) {
    return reportError(error, isDebug(args))
  }
}

/** Prints the error to stderr and returns the exit code. */
export function reportError(error: unknown, debug: boolean): number {
  // Commander has already printed its message or the help.
  if (error instanceof CommanderError) return error.exitCode === 0 ? 0 : 2
  const expected = error instanceof LtxdError
  const message = error instanceof Error ? error.message || error.name : String(error)
  const prefix = expected ? 'ltxd: ' : 'ltxd: unexpected error: '
  process.stderr.write(printableLines(message).replace(/^/gm, prefix) + '\n')
  if (debug && error instanceof Error) process.stderr.write(`${printableLines(error.stack ?? '')}\n`)
  else if (!expected) process.stderr.write('ltxd: set LTXD_DEBUG=1 for a stack trace\n')
  return expected ? error.exitCode : 1
}

export function isDebug(args: readonly string[]): boolean {
  const end = args.indexOf('--')
  return process.env.LTXD_DEBUG === '1' || args.slice(0, end === -1 ? undefined : end).includes('--debug')
}

/** The program with all options of `entry`, whose module it loads. The other commands get a name and a summary only. */
export async function buildProgram(entry: CommandEntry | undefined): Promise<Command> {
  const program = new Command('ltxd')
    .description('A replication node for SQLite.')
    .usage('COMMAND [OPTIONS]')
    .version(VERSION, '-V, --version')
    .enablePositionalOptions()
    .showHelpAfterError('(run with --help for usage)')
    .exitOverride()
    .configureOutput({ outputError: (text, write) => write(text.replace(/^error: /, 'ltxd: ')) })
  for (const candidate of COMMANDS) {
    if (candidate === entry) (await candidate.load()).register(program)
    else program.command(candidate.name).summary(candidate.summary).description(candidate.summary)
  }
  addCommonOptions(program)
  program.commands.filter((command) => command.name() === entry?.name).forEach(addToAll)
  return program
}

function addToAll(command: Command): void {
  addCommonOptions(command)
  command.commands.forEach(addToAll)
}

function addCommonOptions(command: Command): void {
  const common = [
    new Option('--config <file>', 'configuration file (default: ltxd.yml in ., ~/.config/ltxd or /etc)'),
    new Option('--debug', 'print a stack trace with an error'),
  ]
  for (const option of common) {
    if (!command.options.some((existing) => existing.long === option.long)) command.addOption(option)
  }
}

/** The command that the arguments call or ask help for. */
function findEntry(args: readonly string[]): CommandEntry | undefined {
  const words: string[] = []
  for (let i = 0; i < args.length && args[i] !== '--'; i++) {
    const arg = args[i] ?? ''
    if (VALUED.includes(arg)) i++
    else if (!arg.startsWith('-')) words.push(arg)
  }
  const name = words[0] === 'help' ? words[1] : words[0]
  return COMMANDS.find((entry) => entry.name === name)
}

function splitAtDashes(args: readonly string[]): [string[], string[] | undefined] {
  const at = args.indexOf('--')
  return at === -1 ? [[...args], undefined] : [args.slice(0, at), args.slice(at + 1)]
}
