/** Commands to a client process and its answers, as plain data. */

export type JournalMode = 'WAL' | 'DELETE' | 'TRUNCATE' | 'PERSIST'
export type Synchronous = 'NORMAL' | 'FULL'

export interface DatabaseSetup {
  /** The absolute path of the database file. */
  readonly path: string
  readonly journalMode: JournalMode
  readonly synchronous: Synchronous
}

/**
 * `update`: UPDATE transactions of one row. `read`: point reads by primary key, each a read transaction. `bulk`: one
 * transaction of many rows. `stamp`: transactions of one row with its start time, at a pace or at full speed. `watch`:
 * observes these rows on a replica. `fill`: a table of this size in transactions of moderate size, compressible by
 * half. `populate`: many small databases with one row, each closed afterwards. `begin`: repeated attempts to take the
 * write lock, which must fail. `flood`: the transactions of `stamp` at full speed for a time.
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
  | { kind: 'flood' }

export type Command =
  | { do: 'create'; database: DatabaseSetup }
  | { do: 'open'; database: DatabaseSetup }
  | { do: 'measure'; workload: Workload; seconds: number }
  | { do: 'check' }
  | { do: 'nothing' }
  | { do: 'close' }

/** A measurement. It has latencies only if each operation was timed. */
export interface Sample {
  readonly operations: number
  readonly seconds: number
  readonly p50Us?: number
  readonly p99Us?: number
}

/** `sqlite` is SQLite's error code, which distinguishes errors of SQLite's from bugs of the benchmark. */
export type Answer = { ok: true; sample?: Sample } | { ok: false; sqlite?: string; message: string }

/** The rows in the table of `update` and `read`: about 1.2 MB, which fits into SQLite's page cache. */
export const ACCOUNTS = 10_000
