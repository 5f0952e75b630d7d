import type { Checksum, Position, TXID } from '../../ltx/format/types.ts'
import type { NodeAddress } from '../../util/node-address.ts'

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
  /** What is here is not part of the primary's history. */
  readonly diverged: boolean
  readonly reason: string
}

/**
 * Where a replica's stream ends. The node implements it. Calls for one database come one after the other and in order;
 * those for different databases side by side, so that a slow one holds up none of the others.
 */
export interface StreamSink {
  readonly self: NodeAddress
  /** Undefined: adopts the primary's. */
  clusterId(): string | undefined
  adoptCluster(id: string): void
  /** The highest seen; a primary of a lower one is refused. */
  term(): bigint
  /** Where each database is here. May lag behind what was handed over and is still being applied. */
  positions(): ReadonlyMap<string, Position>
  /** Whether there is anything of that database here, even if it is not served. */
  has(database: string): boolean
  /** The newest positions known of a database, newest first, at most 4096: to find where two histories part. */
  history(database: string): Promise<readonly Position[]>
  /**
   * A transaction that continues what was handed over before (min = max TXID). Resolves when there is room for the
   * next; it need not be applied yet. If it cannot be applied, then or later, the client's `resend` or
   * `requestSnapshot` is called. Reading `bytes` throws when the stream breaks off in the middle.
   */
  transaction(database: string, bytes: Uint8Array | AsyncIterable<Uint8Array>, header: TransactionHeader): Promise<void>
  /**
   * The whole database, an LTX file with checksums; resolves when it is applied. Nothing may be changed for good before
   * `bytes` has ended well.
   */
  snapshot(database: string, header: SnapshotHeader, bytes: AsyncIterable<Uint8Array>): Promise<void>
  /** The primary has no such database. */
  unknown(database: string): Promise<void>
  /**
   * Everything that was committed at the primary when the stream began is here (handed to `transaction` or `snapshot`).
   */
  caughtUp(): void
  /** The primary lives; how old the newest transaction was when it arrived. */
  alive(lagMs: number): void
}
