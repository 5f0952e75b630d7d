/**
 * The messages between a node's control plane and its local client. Positions are `txid/checksum`, sixteen hex digits
 * each.
 */

import type { OwnerWish } from '../../data/database-owner.ts'

/** By which the client holds the data directory: its node has opened it. Paths in orders lie below its name. */
export const DATA_DESCRIPTOR = 3

/** On the client's standard input, as frames (util/frames.ts). Orders for one database are executed in order. */
export type ToClient =
  /**
   * Open a database, which may not exist yet. `positions`: its possible positions, newest first. Answered by `opened`.
   */
  | { readonly type: 'open'; readonly database: string; readonly positions: readonly string[] }
  /** Apply a transaction: the frame's body, or a file, which is removed afterwards. Answered by `applied`. */
  | { readonly type: 'apply'; readonly database: string; readonly file?: string }
  /**
   * Bring the database to `position` with an LTX file, which is removed afterwards: a snapshot (`whole`), which
   * replaces any previous state, or a file that continues the database over several transactions. The log starts anew.
   * Answered by `applied`.
   */
  | {
      readonly type: 'advance'
      readonly database: string
      readonly file: string
      readonly whole: boolean
      /** Absent when not known; then the file continues the database. */
      readonly position?: string
      /** Before the last transaction of the file; absent when not known. */
      readonly preApplyChecksum?: string
      readonly timestampMs: number
    }
  /**
   * Give the database, and the directories that are made for it, this owner whenever its file is made, and if it is
   * `news` also where it exists. `owned` or `unowned` say so.
   */
  | { readonly type: 'own'; readonly database: string; readonly owner: OwnerWish; readonly news: boolean }
  /** Remove the database: it is not part of the primary's history. Answered by `discarded`. */
  | { readonly type: 'discard'; readonly database: string }
  /**
   * On a primary: several connections have the database open, so hold its checkpoint lock, and checkpoint it. Answered
   * by `guarding` and `released` whenever the lock is acquired and released.
   */
  | {
      readonly type: 'guard'
      readonly database: string
      readonly logDir: string
      /** More than one of the connections has written. May change. */
      readonly hasSeveralWriters: boolean
    }
  /** On a primary: nobody has committed for a while to a database that one connection has open. Checkpoint it. */
  | { readonly type: 'quiet'; readonly database: string; readonly logDir: string }
  /** Undo `guard`. Answered by `released` if the lock is held. */
  | { readonly type: 'leave'; readonly database: string }
  /** Nothing is left of the database: release what it occupies. There is no answer. */
  | { readonly type: 'forget'; readonly database: string }
  /** Say that the process works. Answered by `alive`. */
  | { readonly type: 'ping' }
  /** Drop all orders that are not executed yet, execute no more, and take all write locks. Answered by `finished`. */
  | { readonly type: 'finish' }
  /** Release every database, and end. Answered by `closed`. */
  | { readonly type: 'close' }

/** On the client's standard output, one line of JSON each. */
export type FromClient =
  /** `position` is absent when the database is at none of the given ones: only a snapshot can continue it. */
  | { readonly type: 'opened'; readonly database: string; readonly position?: string }
  /** `orders`: how many orders this answers, when not one. */
  | { readonly type: 'applied'; readonly database: string; readonly position: string; readonly orders?: number }
  | { readonly type: 'discarded'; readonly database: string }
  /** Another process on this machine blocks the order for a while, or, if `isFailure`, it failed. It is retried. */
  | { readonly type: 'blocked'; readonly database: string; readonly reason: string; readonly isFailure: boolean }
  /** The order failed, and so will all following `apply` orders until the database is opened, replaced or discarded. */
  | { readonly type: 'failed'; readonly database: string; readonly code: string; readonly message: string }
  /** The database has the owner that `own` said. */
  | { readonly type: 'owned'; readonly database: string }
  /** The database could not be given that owner. */
  | { readonly type: 'unowned'; readonly database: string; readonly reason: string }
  /** The client holds the database's checkpoint lock. */
  | { readonly type: 'guarding'; readonly database: string }
  /** The client has released that lock: applications checkpoint by themselves. */
  | { readonly type: 'released'; readonly database: string }
  /** The WAL now has `frames` frames, and `left` of them are not in the database file. */
  | {
      readonly type: 'checkpointed'
      readonly database: string
      readonly state: 'complete' | 'behind' | 'blocked' | 'abandoned'
      /** Pages written to the database file. */
      readonly pages: number
      readonly frames: number
      readonly left: number
      readonly durationMs: number
    }
  /** The checkpoint is retried. */
  | { readonly type: 'checkpoint-failed'; readonly database: string; readonly code: string; readonly message: string }
  | { readonly type: 'alive' }
  | { readonly type: 'finished' }
  | { readonly type: 'closed' }
