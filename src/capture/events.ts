import type { Position } from '../ltx/format/types.ts'
import type { Encryption } from '../sqlite/database-header.ts'
import type { PageTable } from '../sqlite/page-table.ts'

export type LogLevel = 'debug' | 'info' | 'warn' | 'error'
export type LogFields = Readonly<Record<string, string | number | boolean | Error | undefined>>

/** How a database in WAL mode is shared: one connection at most; several, of which one writes; several that write. */
export type Sharing = 'sole' | 'one-writer' | 'several-writers'

/** A database as the control plane sees it. */
export interface PublishedDatabase {
  readonly name: string
  readonly position: Position
  /**
   * The position up to which the database file holds everything; undefined while the newest version of some page is
   * only in the WAL.
   */
  readonly backfilled: Position | undefined
  readonly pages: PageTable
  readonly pageSize: number
  /** Page 1 says WAL mode. */
  readonly walMode: boolean
  readonly encryption: Encryption
  /** The database has a committed state with pages. */
  readonly tracked: boolean
  /** The timestamp of the last transaction. */
  readonly lastTimestampMs: number
  /** Why the node does not serve this database; undefined while it does. */
  readonly rejection: string | undefined
}

/** What capture reports. The methods are called on the commit path and must not block. */
export interface CaptureEvents {
  /** Whether the node has room for a database of this name. Asked before its first transaction; default: yes. */
  admits?(name: string): boolean
  /** Nothing of the database is left but the position of its drop, or nothing at all: its place is free. */
  released?(name: string): void
  /** A database was created, was dropped, or has a new position, size or mode. */
  published(database: PublishedDatabase): void
  /** An application begins a transaction in a rollback mode, with the current write to its journal. */
  begins?(database: PublishedDatabase): void
  /** The number of connections that have the database open in WAL mode, or that write to it, has changed. */
  sharing(database: PublishedDatabase, sharing: Sharing): void
  /** Bytes of the file at `path` were changed that the kernel may have cached. */
  mended(path: string): void
  /**
   * Committed pages were about to be lost between the WAL and the file (I11), or a write to the WAL was rejected, which
   * could not be followed. Details are logged separately.
   */
  guarded(database: PublishedDatabase): void
  /** Its WAL was written, and for a second nothing was captured: its wal-index should be compared. */
  unexplained(database: PublishedDatabase): void
  /** The file has another size than the kernel may believe. */
  resized(database: PublishedDatabase): void
  /** A database was found that no log can hold, because it cannot be read (encryption); or it is none any more. */
  unreplicated(name: string, isUnreplicated: boolean): void
  /** The log of a database rejects everything, for this reason; or it no longer does. Default: nobody is told. */
  logFailed?(name: string, error: Error | undefined): void
  /** A file was written that is no database. */
  plainFile(name: string): void
  /** Runs `act` between two requests, in about a second. Never, if the node stops before. */
  later(act: () => void): void
  log(level: LogLevel, message: string, fields: LogFields): void
}
