/** Where in an LTX file something is wrong. */
export interface LTXErrorPlace {
  /** Offset in bytes from the start of the file. */
  readonly offset?: number
  /** What stands there, in the format's own words: `page size`, `page index size` … */
  readonly field?: string
  /** Which file it is, where there are several. */
  readonly file?: string
  readonly cause?: unknown
}

/**
 * Bytes that are not an LTX file, or a call that would not produce one. `code` is always LTX_INVALID; `field` and `offset` say
 * where, `file` in which of several; each is undefined where it does not apply. All of them are in the message, too.
 */
export class LTXError extends Error {
  readonly code = 'LTX_INVALID'
  readonly offset?: number
  readonly field?: string
  readonly file?: string
  readonly #problem: string

  /** `problem` says what was found and what was expected; the place is added to the message. */
  constructor(problem: string, place: LTXErrorPlace = {}) {
    const { offset, field, file, cause } = place
    const before = [file, field].filter((part) => part !== undefined).map((part) => `${part}: `)
    const after = offset === undefined ? '' : ` (at byte ${offset})`
    super(`${before.join('')}${problem}${after}`, cause === undefined ? {} : { cause })
    this.name = 'LTXError'
    this.#problem = problem
    if (offset !== undefined) this.offset = offset
    if (field !== undefined) this.field = field
    if (file !== undefined) this.file = file
  }

  /** The same error, naming the file. */
  inFile(file: string): LTXError {
    const { offset, field } = this
    const place = { ...(offset === undefined ? {} : { offset }), ...(field === undefined ? {} : { field }) }
    return new LTXError(this.#problem, { ...place, file, cause: this })
  }
}
