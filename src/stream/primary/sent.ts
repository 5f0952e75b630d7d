import type { Checksum, Position, TXID } from '../../ltx/format/types.ts'

/** How many positions are remembered for a replica that acknowledges nothing. */
const MAX_REMEMBERED = 16384

/**
 * The positions of a database that were sent and not acknowledged yet. Only acknowledgements of these count.
 */
export class SentPositions {
  readonly #checksums = new Map<TXID, Checksum>()
  #acknowledged: Position | undefined

  get acknowledged(): Position | undefined {
    return this.#acknowledged
  }

  /** The replica is known to be at this position. Forgets what was sent before. */
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

  /** Returns whether the acknowledgement is new. */
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
