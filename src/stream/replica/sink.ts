import type { DatabaseOwner } from '../../data/database-owner.ts'
import type { Checksum, Position, TXID } from '../../ltx/format/types.ts'
import type { NodeAddress, NodeName } from '../../util/node-address.ts'

export interface TransactionHeader {
  readonly txid: TXID
  readonly timestampMs: number
  readonly postApplyChecksum: Checksum
  /** Zero for the first transaction. */
  readonly preApplyChecksum: Checksum | 0n
  /** Of the LTX file. */
  readonly sizeBytes: number
}

export interface SnapshotHeader {
  readonly position: Position
  /** Before the transaction at `position`; zero where the primary no longer knows it. */
  readonly preApplyChecksum: Checksum | 0n
  /** Of the transaction at `position`. */
  readonly timestampMs: number
  /** Of the LTX file. */
  readonly sizeBytes: number
  /** The last transaction that both histories share, where they differ and one is known. */
  readonly fork: TXID | undefined
  /** The local database is not part of the primary's history. */
  readonly diverged: boolean
  readonly reason: string
}

/**
 * The end of a replica's stream. The node implements it. Calls for one database come one after another, in order. Calls
 * for different databases run side by side, so that a slow one delays none of the others.
 */
export interface StreamSink {
  readonly self: NodeAddress
  /** Whether this node may be made the successor of its primary. */
  readonly candidate: boolean
  /** Undefined when this node adopts the primary's. */
  clusterId(): string | undefined
  adoptCluster(id: string): void
  /** The nodes of the cluster, as the primary knows them. Throws when they cannot be noted. */
  nodes(nodes: readonly NodeName[]): void
  /** The highest term seen. A primary of a lower one is rejected. */
  term(): bigint
  /** The position of each local database. May lag behind transactions that are still being applied. */
  positions(): ReadonlyMap<string, Position>
  /** Whether there is anything of that database here, even if it is not served. */
  has(database: string): boolean
  /** Positions of a database, newest first, at most 4096: to find where two histories diverge. Older ones have gaps. */
  history(database: string): Promise<readonly Position[]>
  /** The owner of the database, which need not exist yet, from now on. Not to give it is no error. */
  owner(database: string, owner: DatabaseOwner): Promise<void>
  /**
   * A transaction that continues the previous one (min = max TXID). Resolves when there is room for the
   * next; it need not be applied yet. If it cannot be applied, then or later, the client's `resend` or
   * `requestSnapshot` is called. Reading `bytes` throws when the stream breaks off in the middle.
   */
  transaction(database: string, bytes: Uint8Array | AsyncIterable<Uint8Array>, header: TransactionHeader): Promise<void>
  /**
   * The whole database, an LTX file with checksums; resolves when it is applied. Nothing may be changed for good before
   * `bytes` has ended well.
   */
  snapshot(database: string, header: SnapshotHeader, bytes: AsyncIterable<Uint8Array>): Promise<void>
  /** The primary has no such database, or dropped it at that position, from where one of the name will continue. */
  unknown(database: string, dropped?: Position): Promise<void>
  /**
   * Everything that the primary of this term had committed when the stream began was passed to `transaction` or
   * `snapshot`. Resolves when that is applied, with whether nothing of it is missing. Without a term the primary lacks
   * part of its history itself.
   */
  caughtUp(term: bigint | undefined): Promise<boolean>
  /** The primary is alive. `lagMs`: the age of the newest transaction when it arrived; 0 once nothing is to come. */
  alive(lagMs: number): void
}
