import { LtxdError } from '../util/errors.ts'

/** The file to follow into exists, but "ltxd follow" did not make it. */
export class UnknownFileError extends LtxdError {
  constructor(path: string) {
    super(
      'FOLLOW_UNKNOWN_FILE',
      `${path} exists, but was not made by "ltxd follow" (there is no ${path}-ltxd beside it). Nothing was changed. ` +
        'Move it away, or follow into another file',
    )
  }
}

/** Another user may have put the file there, to be given the database, or to say who may read it. */
export class ForeignFileError extends LtxdError {
  constructor(path: string, problem: string) {
    super('FOLLOW_FOREIGN_FILE', `${path} ${problem}: another user may have put it there`)
  }
}

/** Another user, who may write to the directory, has put another file under the name meanwhile. */
export class ReplacedFileError extends LtxdError {
  constructor(path: string) {
    super('FOLLOW_FILE_REPLACED', `${path} was replaced meanwhile: follow into a directory of this user's alone`)
  }
}

/** The file system shows another owner for what this user makes: whose a file is cannot be told. */
export class ForeignFileSystemError extends LtxdError {
  constructor(directory: string, uid: number) {
    const self = process.geteuid?.() ?? 0
    super(
      'FOLLOW_FOREIGN_FILE_SYSTEM',
      `${directory}: what user ${self} makes there belongs to user ${uid} (a vfat or CIFS mount with uid=, or NFS ` +
        `that maps users). Nothing was changed: run ltxd as user ${uid}, or follow into another directory`,
    )
  }
}

/** The objects to read disappeared repeatedly while they were being read. */
export class SourceChangingError extends LtxdError {
  constructor(url: string, key: string) {
    super(
      'FOLLOW_SOURCE_CHANGING',
      `${key} in ${url} was listed, but no longer exists: expected a backup that contains the objects it lists`,
    )
  }
}
