/** Decides every errno: what an application on the mount gets when an operation is rejected or fails. */

import { constants } from 'node:os'
import { LtxdError } from '../util/errors.ts'

export type ErrnoName = keyof typeof constants.errno

/** The number of an errno name on this machine. */
export const errnoNumber = (name: ErrnoName): number => constants.errno[name]

/** A rejected operation, with the errno that reaches the application. `message` is for the log. */
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

/**
 * Whether the operation is to be rejected is not known yet, and nothing has changed: it is performed again later, or
 * rejected where nobody can wait.
 */
export class UndecidedError extends FsError {
  /** The answer for who cannot wait. Called at most once. */
  readonly reject: () => FsError

  constructor(reject: () => FsError) {
    super('EAGAIN')
    this.name = 'UndecidedError'
    this.reject = reject
  }
}

const rejections = new Map<ErrnoName, FsError>()

/** The one shared FsError of an errno. It has no stack, because an application may provoke rejections in a loop. */
export function rejection(code: ErrnoName): FsError {
  let error = rejections.get(code)
  if (error === undefined) {
    const limit = Error.stackTraceLimit
    Error.stackTraceLimit = 0
    error = new FsError(code)
    Error.stackTraceLimit = limit
    rejections.set(code, error)
  }
  return error
}

/** Errors of the backing file system itself, not of the operation. */
const FAILURES: ReadonlySet<number> = new Set(
  (['EIO', 'ENOSPC', 'EDQUOT', 'EROFS', 'EMFILE', 'ENFILE', 'ENOMEM', 'ENODEV', 'ENXIO'] as const).map(errnoNumber),
)

/** Whether the error needs a person's attention; otherwise it is a rejection, or an answer like ENOTEMPTY. */
export function isFailure(errno: number, error: unknown): boolean {
  return !(error instanceof FsError) && FAILURES.has(errno)
}

/**
 * The errno to answer with. undefined if `error` is neither a rejection nor an operating error: then it is a broken
 * invariant, and the session must end.
 */
export function errnoOf(error: unknown): number | undefined {
  if (error instanceof FsError) return error.errno
  if (error instanceof LtxdError) return constants.errno.EIO
  if (error instanceof Error && 'syscall' in error && 'errno' in error && typeof error.errno === 'number') {
    const errno = -error.errno
    // libuv's own error numbers lie beyond the kernel's.
    return errno > 0 && errno < 1000 ? errno : constants.errno.EIO
  }
  return undefined
}
