/** Where in an LTX file something is wrong. */
export interface LTXErrorPlace {
  /** Offset in bytes from the start of the file. */
  readonly offset?: number
  /** What stands there, in the format's own words: `page size`, `page index size` … */
  readonly field?: string
  readonly cause?: unknown
}

/** Bytes that are not an LTX file, or a call that would not produce one. */
export class LTXError extends Error {
  readonly code = 'LTX_INVALID'
  readonly offset?: number
  readonly field?: string

  /** `problem` says what was found and what was expected; the place is added to the message. */
  constructor(problem: string, place: LTXErrorPlace = {}) {
    const { offset, field, cause } = place
    const where = offset === undefined ? '' : ` (at byte ${offset})`
    super(`${field === undefined ? '' : `${field}: `}${problem}${where}`, cause === undefined ? {} : { cause })
    this.name = 'LTXError'
    if (offset !== undefined) this.offset = offset
    if (field !== undefined) this.field = field
  }
}
