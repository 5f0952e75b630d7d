/** Where in an LTX file an error is. */
export interface LTXErrorPlace {
  /** Offset in bytes from the start of the file. */
  readonly offset?: number
  /** The field's name in the format's own words: `page size`, `page index size` … */
  readonly field?: string
  /** Which of several files. */
  readonly file?: string
  readonly cause?: unknown
}

/**
 * Bytes that are not an LTX file, or a call that would not produce one. `code` is always LTX_INVALID. `field` and
 * `offset` locate the error, `file` names one of several files. Each is undefined where it does not apply, and part of
 * the message where it does.
 */
export class LTXError extends Error {
  readonly code = 'LTX_INVALID'
  readonly offset?: number
  readonly field?: string
  readonly file?: string
  readonly #problem: string

  /** `problem` says what was found and what was expected. The constructor adds the place. */
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
