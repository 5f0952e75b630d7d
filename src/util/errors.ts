/**
 * Operating errors, which a person or a program can react to. Each has a stable `code` and a message that says what
 * happened to which thing, what was expected, and what to do. Broken invariants are assertions instead.
 */

import { constants } from 'node:os'

/** 1: a failure at run time. 2: a wrong command line or configuration. */
export type ExitCode = 1 | 2

export class LtxdError extends Error {
  readonly code: string
  readonly exitCode: ExitCode

  constructor(code: string, message: string, exitCode: ExitCode = 1, options?: ErrorOptions) {
    super(message, options)
    this.name = new.target.name
    this.code = code
    this.exitCode = exitCode
  }
}

/** Wrong arguments on the command line. */
export class UsageError extends LtxdError {
  constructor(message: string, options?: ErrorOptions) {
    super('USAGE', message, 2, options)
  }
}

/** What Node.js says instead of ESTALE, and of others that it does not know, before the negative errno. */
const UNKNOWN = 'Unknown system error '
const UNKNOWN_NAMES = new Map(Object.entries(constants.errno).map(([name, errno]) => [errno, name]))

/** The `code` of a system error (ENOENT, EADDRINUSE …), or of an LtxdError; undefined for anything else. */
export function errorCode(error: unknown): string | undefined {
  if (!(error instanceof Error) || !('code' in error)) return undefined
  if (typeof error.code !== 'string') return undefined
  if (!error.code.startsWith(UNKNOWN)) return error.code
  return UNKNOWN_NAMES.get(-Number(error.code.slice(UNKNOWN.length))) ?? error.code
}

/** The text to print for any thrown value. */
export function errorMessage(error: unknown): string {
  return error instanceof Error ? error.message : String(error)
}

/** Anything that was thrown, as an Error. */
export function asError(error: unknown): Error {
  return error instanceof Error ? error : new Error(String(error))
}
