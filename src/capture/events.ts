import type { Database } from './database.ts'

export type LogLevel = 'debug' | 'info' | 'warn' | 'error'
export type LogFields = Readonly<Record<string, string | number | boolean | undefined>>

/** What capture tells its surroundings. Called on the way of a commit: must not block. */
export interface CaptureEvents {
  /** A database has a new position, size, mode, or has become one, or ceased to be. */
  published(database: Database): void
  /** More than one connection may write its WAL, or no longer. */
  sharing(database: Database, isShared: boolean): void
  /** Committed pages were about to be lost between its WAL and its file (I11). What was found is logged besides. */
  guarded(database: Database): void
  log(level: LogLevel, message: string, fields: LogFields): void
}
