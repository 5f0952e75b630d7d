/** What a client process is told to do, and what it answers; plain data, sent between processes. */

export type JournalMode = 'WAL' | 'DELETE' | 'TRUNCATE' | 'PERSIST'
export type Synchronous = 'NORMAL' | 'FULL'

export interface DatabaseSetup {
  /** Absolute path of the database file. */
  readonly path: string
  readonly journalMode: JournalMode
  readonly synchronous: Synchronous
}

/**
 * `update`: one-row UPDATE transactions. `read`: point reads by primary key, each its own read transaction. `bulk`: one
 * transaction of many rows. `stamp`: so many transactions, each a row with the time at which it began; at a pace, or
 * without one at full speed. `fill`: a table of so much, in transactions of moderate size, half of which compresses.
 * `populate`: so many small databases beside each other, each closed when it has a row. `watch`: sees them arrive on a
 * replica. `begin`: asks for the write lock again and again, where it must not be had.
 */
export type Workload =
  | { kind: 'update' }
  | { kind: 'read' }
  | { kind: 'bulk'; rows: number }
  | { kind: 'fill'; megabytes: number }
  | { kind: 'populate'; directory: string; count: number }
  | { kind: 'stamp'; count: number; perSecond?: number }
  | { kind: 'watch'; count: number }
  | { kind: 'begin' }

export type Command =
  | { do: 'create'; database: DatabaseSetup }
  | { do: 'open'; database: DatabaseSetup }
  | { do: 'measure'; workload: Workload; seconds: number }
  | { do: 'check' }
  | { do: 'nothing' }
  | { do: 'close' }

/** One measurement. Latencies only where each operation was timed by itself. */
export interface Sample {
  readonly operations: number
  readonly seconds: number
  readonly p50Us?: number
  readonly p99Us?: number
}

/** `sqlite`: SQLite's own error code, so that a refusal can be told from a defect of the benchmark. */
export type Answer = { ok: true; sample?: Sample } | { ok: false; sqlite?: string; message: string }

/** Rows of the table that `update` and `read` work on: about 1.2 MB, so that SQLite's own page cache holds it. */
export const ACCOUNTS = 10_000
