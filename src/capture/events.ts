import type { Database } from './database.ts'

export type LogLevel = 'debug' | 'info' | 'warn' | 'error'
export type LogFields = Readonly<Record<string, string | number | boolean | undefined>>

/** Who has a database open in WAL mode: one connection at most; several, of which one writes; several that write. */
export type Sharing = 'sole' | 'one-writer' | 'several-writers'

/** What capture tells its surroundings. Called on the way of a commit: must not block. */
export interface CaptureEvents {
  /** A database has a new position, size, mode, or has become one, or ceased to be. */
  published(database: Database): void
  /** How many connections have it open in WAL mode, or write to it, has changed. */
  sharing(database: Database, sharing: Sharing): void
  /** Committed pages were about to be lost between its WAL and its file (I11). What was found is logged besides. */
  guarded(database: Database): void
  log(level: LogLevel, message: string, fields: LogFields): void
}
