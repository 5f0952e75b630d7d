import type { Position, TXID } from '../ltx/format/types.ts'

/** The events that a follower reports. */
export type FollowEvent =
  /** The file exists and its position is known. */
  | { readonly event: 'following'; readonly position: Position }
  | {
      readonly event: 'restored'
      readonly position: Position
      readonly timestampMs: number
      readonly sizeBytes: number
      readonly files: number
      readonly tookMs: number
    }
  | {
      readonly event: 'applied'
      readonly position: Position
      /** The first applied transaction. The file may already have had it. */
      readonly from: TXID
      readonly level: number
      readonly pages: number
      readonly timestampMs: number
    }
  /** An object of the backup is damaged or missing. Others that hold the same transactions are used. */
  | { readonly event: 'avoided'; readonly key: string; readonly problem: string }
  /** Another process holds a lock on the file. */
  | { readonly event: 'lagging'; readonly position: Position | undefined; readonly reason: string }
  /** A reader prevents a complete checkpoint, so the WAL grows. */
  | {
      readonly event: 'wal-held'
      readonly position: Position
      readonly walBytes: number
      readonly walFrames: number
      readonly backfilledFrames: number
    }
  /** The backup does not continue the file, which is restored again. */
  | { readonly event: 'resyncing'; readonly position: Position | undefined; readonly reason: string }
  /** The old file was renamed to `path`, after a resync. */
  | { readonly event: 'kept'; readonly path: string; readonly reason: string }
  | { readonly event: 'dropped'; readonly txid: TXID; readonly keptAs: string | undefined }
  /** A pass failed. The next one retries. */
  | { readonly event: 'retrying'; readonly position: Position | undefined; readonly reason: string }
  | { readonly event: 'stopped'; readonly position: Position | undefined }
