/** What a client process is told to do, and what it answers; plain data, sent between processes. */

export type JournalMode = 'WAL' | 'DELETE' | 'TRUNCATE' | 'PERSIST'
export type Synchronous = 'NORMAL' | 'FULL'

export interface DatabaseSetup {
  /** Absolute path of the database file. */
  readonly path: string
  readonly journalMode: JournalMode
  readonly synchronous: Synchronous
}

/** `update`: one-row UPDATE transactions. `read`: point reads by primary key, each its own read transaction. `bulk`: one transaction of many rows. */
export type Workload = { kind: 'update' } | { kind: 'read' } | { kind: 'bulk'; rows: number }

export type Command =
  | { do: 'create'; database: DatabaseSetup }
  | { do: 'open'; database: DatabaseSetup }
  | { do: 'measure'; workload: Workload; seconds: number }
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
