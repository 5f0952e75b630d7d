import type { Position } from '../ltx/format/types.ts'
import type { PageTable } from '../sqlite/page-table.ts'

export type LogLevel = 'debug' | 'info' | 'warn' | 'error'
export type LogFields = Readonly<Record<string, string | number | boolean | undefined>>

/** Who has a database open in WAL mode: one connection at most; several, of which one writes; several that write. */
export type Sharing = 'sole' | 'one-writer' | 'several-writers'

/** A database as the control plane sees it. */
export interface PublishedDatabase {
  readonly name: string
  readonly position: Position
  /** The position up to which the database file holds everything; undefined while pages are in the WAL only. */
  readonly backfilled: Position | undefined
  readonly pages: PageTable
  readonly pageSize: number
  /** Page 1 says WAL. */
  readonly walMode: boolean
  /** It has a committed state with pages. */
  readonly tracked: boolean
  /** Of the last transaction. */
  readonly lastTimestampMs: number
  /** Why this database is not served. */
  readonly refusal: string | undefined
}

/** What capture tells its surroundings. Called on the way of a commit: must not block. */
export interface CaptureEvents {
  /** A database has a new position, size, mode, or has become one, or ceased to be. */
  published(database: PublishedDatabase): void
  /** How many connections have it open in WAL mode, or write to it, has changed. */
  sharing(database: PublishedDatabase, sharing: Sharing): void
  /** Committed pages were about to be lost between its WAL and its file (I11). What was found is logged besides. */
  guarded(database: PublishedDatabase): void
  log(level: LogLevel, message: string, fields: LogFields): void
}
