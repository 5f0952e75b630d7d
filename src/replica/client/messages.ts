/** What a node's control plane and its local client say to each other. Positions are `txid/checksum`, sixteen hex digits each. */

/** On the client's standard input, as frames (util/frames.ts). Orders for one database are carried out in order. */
export type ToClient =
  /** Take a database up, which may not exist yet. `positions`: where it may be, newest first. Answered by `opened`. */
  | { readonly type: 'open'; readonly database: string; readonly positions: readonly string[] }
  /** Apply a transaction: the frame's body, or a file, which is removed then. Answered by `applied`. */
  | { readonly type: 'apply'; readonly database: string; readonly file?: string }
  /**
   * Bring the database to `position` by an LTX file, which is removed then: a snapshot, whatever the database was before, or what continues it
   * over several transactions. The log begins anew with that. Answered by `applied`.
   */
  | {
      readonly type: 'advance'
      readonly database: string
      readonly file: string
      readonly whole: boolean
      /** Absent where nothing tells; then the file continues the database. */
      readonly position?: string
      /** Before the last of its transactions; absent where nothing tells. */
      readonly preApplyChecksum?: string
      readonly timestampMs: number
    }
  /** Remove the database: it is not part of the primary's history. Answered by `discarded`. */
  | { readonly type: 'discard'; readonly database: string }
  /** On a primary: several connections have the database open, so checkpoint it, and keep them from it. Answered by `guarding` and `released`, by turns. */
  | {
      readonly type: 'guard'
      readonly database: string
      readonly logDir: string
      /** More than one of them has written. May change. */
      readonly hasSeveralWriters: boolean
    }
  /** No longer. Answered by `released` where the lock is held. */
  | { readonly type: 'leave'; readonly database: string }
  /** Let go of every database, and end. Answered by `closed`. */
  | { readonly type: 'close' }

/** On its standard output, a line of JSON each. */
export type FromClient =
  /** `position`: where it is; absent where nothing tells, so that only a snapshot leads on. */
  | { readonly type: 'opened'; readonly database: string; readonly position?: string }
  /** `orders`: how many of them that took, when not one. */
  | { readonly type: 'applied'; readonly database: string; readonly position: string; readonly orders?: number }
  | { readonly type: 'discarded'; readonly database: string }
  /** Something on this machine stands in the way for now; it is tried again and again. */
  | { readonly type: 'blocked'; readonly database: string; readonly reason: string }
  /** The order was not carried out, nor will be what follows for this database until it is opened anew. */
  | { readonly type: 'failed'; readonly database: string; readonly code: string; readonly message: string }
  /** The database's checkpoint lock is held. */
  | { readonly type: 'guarding'; readonly database: string }
  /** It no longer is: applications checkpoint by themselves. */
  | { readonly type: 'released'; readonly database: string }
  /** `frames`: of the WAL now, `left` of them not in the database file. */
  | {
      readonly type: 'checkpointed'
      readonly database: string
      readonly state: 'complete' | 'behind' | 'blocked' | 'abandoned'
      /** Written into the database file. */
      readonly pages: number
      readonly frames: number
      readonly left: number
      readonly durationMs: number
    }
  /** It is tried again. */
  | { readonly type: 'checkpoint-failed'; readonly database: string; readonly code: string; readonly message: string }
  | { readonly type: 'closed' }
