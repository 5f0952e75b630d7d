import type { Positions } from '../../apply/positions.ts'
import type { Checksum, Position } from '../../ltx/format/types.ts'

/** Positions that the node's log knows: the data plane writes it before anything becomes visible, so nothing has to be noted here. */
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
