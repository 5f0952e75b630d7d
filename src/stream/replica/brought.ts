import type { Position } from '../../ltx/format/types.ts'
import { samePosition } from '../../ltx/format/types.ts'

/** Tells what one connection has brought from what was received before it and is applied meanwhile. */
export class Brought {
  #before: ReadonlyMap<string, Position> = new Map()
  readonly #snapshots = new Map<string, Position>()

  /** The position of each database up to which everything was received before. */
  begin(before: ReadonlyMap<string, Position>): void {
    this.#before = before
  }

  snapshot(database: string, position: Position): void {
    this.#snapshots.set(database, position)
  }

  includes(database: string, position: Position): boolean {
    const before = this.#before.get(database)
    if (before === undefined || position.txid > before.txid) return true
    const snapshot = this.#snapshots.get(database)
    return snapshot !== undefined && samePosition(snapshot, position)
  }
}
