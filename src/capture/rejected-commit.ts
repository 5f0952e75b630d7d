/**
 * The commit frame that was rejected last, until SQLite rewrites it from its beginning. The kernel may split a write at
 * a page boundary of its cache. If only the last piece of a frame is rejected, SQLite sees a short write and retries
 * the rest. The retry must fail too, or SQLite would consider the commit done.
 */
export class RejectedCommit {
  #rejected: { readonly at: number; readonly end: number; readonly error: unknown } | undefined

  /** The frame from `at` to `end` was rejected with `error`. */
  set(at: number, end: number, error: unknown): void {
    this.#rejected = { at, end, error }
  }

  forget(): void {
    this.#rejected = undefined
  }

  /** Throws the rejection's error where a write at `position` continues the frame. */
  assertRewritten(position: number): void {
    const rejected = this.#rejected
    if (rejected === undefined) return
    if (position > rejected.at && position < rejected.end) throw rejected.error
    if (position <= rejected.at) this.#rejected = undefined
  }
}
