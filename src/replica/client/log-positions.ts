import type { Positions } from '../../apply/positions.ts'
import type { Checksum, Position } from '../../ltx/format/types.ts'

/**
 * The positions in the node's log. The data plane appends to it before a transaction becomes visible, so `note` is
 * empty.
 */
export class LogPositions implements Positions {
  readonly #newestFirst: readonly Position[]

  constructor(newestFirst: readonly Position[]) {
    this.#newestFirst = newestFirst
  }

  get last(): Position | undefined {
    return this.#newestFirst[0]
  }

  find(checksum: Checksum): Position | undefined {
    return this.#newestFirst.find((position) => position.checksum === checksum)
  }

  checksumAt(txid: bigint): Checksum | undefined {
    return this.#newestFirst.find((position) => position.txid === txid)?.checksum
  }

  note(): void {}

  sync(): void {}
}
