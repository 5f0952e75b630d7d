import { errorCode, LtxdError } from '../../util/errors.ts'
import { LinkedNameError, NotRegularError } from '../../util/files-beneath.ts'
import { ForeignLinkError } from '../../util/named-directory.ts'
import { LockHeldError } from './file-lock.ts'
import { OtherBackupError } from './identity.ts'

/** The object is where nobody looks for it. */
export class MovedError extends LtxdError {
  constructor(directory: string) {
    super('DIRECTORY_MOVED', `${directory} was moved or replaced meanwhile`)
  }
}

/** There is something else than a regular file. */
export function isNoFile(error: unknown): boolean {
  return error instanceof NotRegularError || errorCode(error) === 'ELOOP'
}

/** What others have put in the way. */
const OBSTACLES = [OtherBackupError, MovedError, ForeignLinkError, LinkedNameError, LockHeldError, NotRegularError]

/** What the file system says, or what is found in the way of an operation: the store cannot be used so. */
export function isObstacle(error: unknown): boolean {
  return error instanceof Error && ('syscall' in error || OBSTACLES.some((kind) => error instanceof kind))
}
