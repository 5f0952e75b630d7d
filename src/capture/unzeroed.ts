import { FRAME_HEADER_SIZE, WAL_HEADER_SIZE } from '../sqlite/wal.ts'
import { asError } from '../util/errors.ts'
import type { CapturedDatabase } from './captured-database.ts'

const NOTHING = Infinity
const zeros = new Uint8Array(WAL_HEADER_SIZE)

/**
 * Invalidates what was written to a WAL and rejected, so that no recovery finds it, neither SQLite's nor that of this
 * node's next start. It is overwritten with zeros, or else cut off, for which a full disk needs no room. What a failing
 * disk does not let be invalidated is remembered: until it is, nobody reads the WAL, and nothing is added to it.
 */
export class Unzeroed {
  readonly #database: CapturedDatabase
  #at = NOTHING

  constructor(database: CapturedDatabase) {
    this.#database = database
  }

  /** A frame begins at `at`, or the header. A failure is logged. */
  zero(at: number): void {
    try {
      this.#zero(at)
    } catch (error) {
      this.#at = Math.min(this.#at, at)
      const { events, name } = this.#database
      const message =
        'what a failed write left in the WAL could not be invalidated: it is retried before the WAL is used'
      events.log('error', message, { database: name, err: asError(error) })
    }
  }

  /** Throws while the disk fails. */
  retry(): void {
    if (this.#at === NOTHING) return
    this.#zero(this.#at)
    this.#at = NOTHING
    const { events, name } = this.#database
    events.mended(`${name}-wal`)
    events.log('info', 'what a failed write had left in the WAL was invalidated', { database: name })
  }

  forget(): void {
    this.#at = NOTHING
  }

  #zero(at: number): void {
    const { files, walFd, events, name } = this.#database
    if (files.size(walFd) <= at) return
    try {
      files.write(walFd, zeros, 0, at === 0 ? WAL_HEADER_SIZE : FRAME_HEADER_SIZE, at)
    } catch {
      // What lies beyond is of an older generation, and nobody reads it.
      files.truncate(walFd, at)
      events.mended(`${name}-wal`)
    }
  }
}
