import type { DataPlane } from '../dataplane/dataplane.ts'
import type { TXID } from '../ltx/format/types.ts'

/** How long nobody has committed to a quiet database. */
export const QUIET_MS = 1_000
/** The longest pause between two orders for a database that a reader blocks. */
const LONGEST_PAUSE_MS = 30_000

interface Behind {
  txid: TXID
  /** When the next order is due, if nobody commits until then. */
  dueMs: number
  pauseMs: number
}

/**
 * Finds the databases whose file lacks what is only in the WAL, although nobody commits any more. A database that is
 * whole costs nothing here, and neither does one that several connections have open: the local client polls those.
 */
export class QuietDatabases {
  readonly #plane: Pick<DataPlane, 'behind' | 'sharing' | 'databases'>
  readonly #behind = new Map<string, Behind>()

  constructor(plane: Pick<DataPlane, 'behind' | 'sharing' | 'databases'>) {
    this.#plane = plane
  }

  /** The databases that should be checkpointed now. */
  due(nowMs: number): string[] {
    const { behind, sharing } = this.#plane
    const due: string[] = []
    for (const database of behind) {
      if (this.#isWhole(database)) {
        behind.delete(database)
        this.#behind.delete(database)
      } else if (!sharing.has(database) && this.#isDue(database, nowMs)) {
        due.push(database)
      }
    }
    return due
  }

  #isWhole(database: string): boolean {
    const known = this.#plane.databases.get(database)
    if (known === undefined || known.rejection !== undefined) return true
    const { tracked, position, backfilled } = known.state()
    return !tracked || backfilled.txid === position.txid
  }

  #isDue(database: string, nowMs: number): boolean {
    const { txid } = this.#plane.databases.get(database)?.state().position ?? { txid: 0n as TXID }
    const known = this.#behind.get(database)
    if (known === undefined || known.txid !== txid) {
      this.#behind.set(database, { txid, dueMs: nowMs + QUIET_MS, pauseMs: QUIET_MS })
      return false
    }
    if (nowMs < known.dueMs) return false
    known.pauseMs = Math.min(LONGEST_PAUSE_MS, 2 * known.pauseMs)
    known.dueMs = nowMs + known.pauseMs
    return true
  }
}
