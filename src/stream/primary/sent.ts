import type { Checksum, Position, TXID } from '../../ltx/format/types.ts'

/** Positions beyond which a replica that acknowledges nothing is no longer remembered one by one. */
const MAX_REMEMBERED = 16384

/**
 * What was sent of a database and not acknowledged yet: an acknowledgement counts only for the history that was sent.
 */
export class SentPositions {
  readonly #checksums = new Map<TXID, Checksum>()
  #acknowledged: Position | undefined

  get acknowledged(): Position | undefined {
    return this.#acknowledged
  }

  /** The replica is known to be there, whatever was sent before. */
  begin(at: Position | undefined): void {
    this.#checksums.clear()
    this.#acknowledged = at
  }

  add({ txid, checksum }: Position): void {
    this.#checksums.set(txid, checksum)
    if (this.#checksums.size <= MAX_REMEMBERED) return
    for (const oldest of this.#checksums.keys()) {
      this.#checksums.delete(oldest)
      return
    }
  }

  /** Whether it is news. */
  acknowledge(at: Position): boolean {
    if (this.#checksums.get(at.txid) !== at.checksum) return false
    for (const txid of this.#checksums.keys()) {
      if (txid > at.txid) break
      this.#checksums.delete(txid)
    }
    this.#acknowledged = at
    return true
  }
}
