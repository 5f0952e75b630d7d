import { LtxdError } from '../util/errors.ts'

/** A file that "ltxd follow" did not make is in the followed file's place. */
export class UnknownFileError extends LtxdError {
  constructor(path: string) {
    super(
      'FOLLOW_UNKNOWN_FILE',
      `${path} exists, but was not made by "ltxd follow" (there is no ${path}-ltxd beside it): nothing was changed. ` +
        'Move it away, or follow into another file',
    )
  }
}

/** The objects to read disappeared repeatedly while they were being read. */
export class SourceChangingError extends LtxdError {
  constructor(url: string, key: string) {
    super(
      'FOLLOW_SOURCE_CHANGING',
      `${key} in ${url} was listed, but is gone: expected the backup to hold the objects it lists`,
    )
  }
}
