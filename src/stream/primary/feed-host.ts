import type { LogView } from '../../log/view.ts'
import type { Position, TXID } from '../../ltx/format/types.ts'
import type { Logger } from '../../util/log.ts'
import type { Flow } from '../wire/flow.ts'
import type { PrimaryMessage } from '../wire/messages.ts'
import type { Snapshot } from './snapshots.ts'
import type { StreamedDatabase } from './source.ts'

/** The connection's side of a feed. */
export interface FeedHost {
  readonly flow: Flow
  /** Names the replica, once it is known. */
  logger(): Logger
  /** The replica understands the message `owner`. */
  takesOwners(): boolean
  /** Aborted when the connection ends; feeds are woken then. */
  readonly signal: AbortSignal
  database(name: string): StreamedDatabase | undefined
  /** What the primary has of a database that it does not lead. */
  withheld?(name: string): StreamedDatabase | undefined
  /** Where a database was dropped of which the primary has nothing else any more. */
  droppedAt(name: string): Position | undefined
  /** I4: makes the log durable up to its current position. */
  sync(log: LogView): Promise<Position>
  /** Waits for room. Throws after the stream has ended, or when this node no longer leads. */
  send(message: PrimaryMessage, body?: Uint8Array): Promise<void>
  sendFrames(frames: readonly Buffer[]): Promise<void>
  /** Bounds what is read ahead of the connection. */
  readonly batches: <T>(work: () => Promise<T>) => Promise<T>
  /** Bounds the snapshots of all connections. */
  readonly snapshots: <T>(
    database: StreamedDatabase,
    newest: TXID,
    send: (snapshot: Snapshot) => Promise<T>,
  ) => Promise<T | undefined>
  /** A replica that takes nothing of a snapshot for so long is cut off. */
  readonly stalledMs: number
  /** Bounds the bodies that are sent side by side. */
  readonly bodies: <T>(work: () => Promise<T>) => Promise<T>
  /** The feed's state changed, and others may wait for that. */
  moved(): void
}
