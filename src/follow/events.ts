import type { Position, TXID } from '../ltx/format/types.ts'

/** What a follower tells of itself. */
export type FollowEvent =
  /** The file is there and its position known. */
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
      /** First transaction of what was applied; it may be one that the file had. */
      readonly from: TXID
      readonly level: number
      readonly pages: number
      readonly timestampMs: number
    }
  /** Another process is in the way. */
  | { readonly event: 'lagging'; readonly position: Position | undefined; readonly reason: string }
  /** A reader keeps the WAL from being brought into the file: it grows. */
  | {
      readonly event: 'wal-held'
      readonly position: Position
      readonly walBytes: number
      readonly walFrames: number
      readonly backfilledFrames: number
    }
  /** The file does not lead to where the backup is: it is being restored anew. */
  | { readonly event: 'resyncing'; readonly position: Position | undefined; readonly reason: string }
  /** The old file, after a resync. */
  | { readonly event: 'kept'; readonly path: string; readonly reason: string }
  | { readonly event: 'dropped'; readonly txid: TXID; readonly keptAs: string | undefined }
  /** A pass failed; the next one tries again. */
  | { readonly event: 'retrying'; readonly position: Position | undefined; readonly reason: string }
  | { readonly event: 'stopped'; readonly position: Position | undefined }
