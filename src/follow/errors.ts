import { LtxdError } from '../util/errors.ts'

/** A file is in the place of the followed one that was not made by following. */
export class UnknownFileError extends LtxdError {
  constructor(path: string) {
    super(
      'FOLLOW_UNKNOWN_FILE',
      `${path} exists, but was not made by "ltxd follow" (there is no ${path}-ltxd beside it): it is left as it is. ` +
        'Move it away, or follow into another file',
    )
  }
}

/** What was to be read disappeared again and again while it was being read. */
export class SourceChangingError extends LtxdError {
  constructor(url: string, key: string) {
    super(
      'FOLLOW_SOURCE_CHANGING',
      `${key} in ${url} was listed, but is gone: expected the backup to hold what it lists`,
    )
  }
}
