/** Errno is decided here: what an application on the mount is told when something is refused or fails. */

import { constants } from 'node:os'
import { LtxdError } from '../util/errors.ts'

export type ErrnoName = keyof typeof constants.errno

/** The number of an errno name on this machine. */
export const errnoNumber = (name: ErrnoName): number => constants.errno[name]

/** A refusal with the errno that reaches the application. `message` is for the log. */
export class FsError extends Error {
  readonly code: ErrnoName
  readonly errno: number

  constructor(code: ErrnoName, message: string = code) {
    super(message)
    this.name = 'FsError'
    this.code = code
    this.errno = errnoNumber(code)
  }
}

const refusals = new Map<ErrnoName, FsError>()

/** The one shared FsError of a name, without a stack: refusals are answers, and an application may provoke them in a loop. */
export function refusal(code: ErrnoName): FsError {
  let error = refusals.get(code)
  if (error === undefined) {
    const limit = Error.stackTraceLimit
    Error.stackTraceLimit = 0
    error = new FsError(code)
    Error.stackTraceLimit = limit
    refusals.set(code, error)
  }
  return error
}

/** What a backing file system says of itself, and not of what was asked. */
const FAILURES: ReadonlySet<number> = new Set(
  (['EIO', 'ENOSPC', 'EDQUOT', 'EROFS', 'EMFILE', 'ENFILE', 'ENOMEM', 'ENODEV', 'ENXIO'] as const).map(errnoNumber),
)

/** Something went wrong that somebody should look at; else it is a refusal, or an answer like ENOTEMPTY. */
export function isFailure(errno: number, error: unknown): boolean {
  return !(error instanceof FsError) && FAILURES.has(errno)
}

/**
 * The errno to answer with, or undefined when `error` is neither a refusal nor an operating error: then it is a
 * broken invariant, and nobody may go on.
 */
export function errnoOf(error: unknown): number | undefined {
  if (error instanceof FsError) return error.errno
  if (error instanceof LtxdError) return constants.errno.EIO
  if (error instanceof Error && 'syscall' in error && 'errno' in error && typeof error.errno === 'number') {
    const errno = -error.errno
    // libuv's own error numbers lie beyond the kernel's
    return errno > 0 && errno < 1000 ? errno : constants.errno.EIO
  }
  return undefined
}
